"""PPO on the market: environment, reward, curriculum and the policy that is kept."""
