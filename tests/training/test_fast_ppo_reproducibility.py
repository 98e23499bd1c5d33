import copy
import io
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.threads import use_one_thread
from tests.training.fast_ppo_models import (
    assert_same_to_the_last_bit,
    largest_difference,
    market,
    small,
    steps_of,
    trained,
)
from tests.unpickling import load_sb3

# ---- the same again


def test_a_seed_gives_the_same_weights_to_the_last_bit():
    assert_same_to_the_last_bit(trained(), trained())
    assert largest_difference(trained(), trained(seed=1)) > 1e-3


def test_global_draws_of_others_change_nothing():
    class Disturber(BaseCallback):
        def _on_step(self) -> bool:
            np.random.rand(3)  # noqa: NPY002  the global generator is the point
            torch.rand(3)
            return True

    disturbed = small(market())
    disturbed.learn(4 * 256, callback=Disturber())
    assert_same_to_the_last_bit(trained(), disturbed)


def test_threads_beside_each_other_give_the_same_weights():
    models = [small(market(), seed=seed) for seed in (0, 1, 0)]
    with ThreadPoolExecutor(len(models)) as threads:
        list(threads.map(lambda model: model.learn(4 * 256), models))
    for model, seed in zip(models, (0, 1, 0), strict=True):
        assert_same_to_the_last_bit(model, trained(seed))


def test_torch_and_blas_keep_to_one_thread():
    torch.set_num_threads(2)
    small()
    assert torch.get_num_threads() == 1
    assert use_one_thread() == (1, 1)


# ---- save and load


def saved(model: PPO) -> io.BytesIO:
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    return file


def test_saved_loaded_and_trained_on_is_the_uninterrupted_training():
    whole = small(market())
    whole.learn(2 * 256)
    file, env_state = saved(whole), whole.env.episodes.state()
    whole.learn(3 * 256, reset_num_timesteps=False)

    env = market(seed=99)
    resumed = load_sb3(file, FastPPO, env=env, force_reset=False)
    env.episodes.restore(json.loads(json.dumps(env_state)))
    resumed.set_logger(configure(None, []))
    assert resumed.num_timesteps == 2 * 256
    resumed.learn(3 * 256, reset_num_timesteps=False)
    assert_same_to_the_last_bit(whole, resumed)
    assert resumed._n_updates == whole._n_updates


def test_sb3_can_train_on_what_the_fast_engine_saved_and_the_other_way_round():
    file = saved(trained())
    stock = load_sb3(file, env=market(), device="cpu")
    stock.set_logger(configure(None, []))
    stock.learn(256, reset_num_timesteps=False)
    assert steps_of(stock) == 8 * (4 + 1) * 2
    fast = load_sb3(saved(stock), FastPPO, env=market())
    assert_same_to_the_last_bit(fast, stock)
    fast.set_logger(configure(None, []))
    fast.learn(256, reset_num_timesteps=False)
    assert fast.num_timesteps == 6 * 256


def test_the_saved_file_opens_where_dosvotos_is_not_installed(tmp_path):
    model = trained()
    model.save(tmp_path / "model.zip")
    observations = np.random.default_rng(0).normal(size=(300, 15)).astype(np.float32)
    np.save(tmp_path / "observations.npy", observations)
    script = (
        "import sys; sys.modules['dosvotos'] = None\n"  # any import of it now fails
        "import numpy as np; from stable_baselines3 import PPO\n"
        "model = PPO.load('model.zip', device='cpu')\n"
        "assert type(model) is PPO\n"
        "np.save('actions.npy', model.predict(np.load('observations.npy'), deterministic=True)[0])"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, check=True, env={})
    elsewhere = np.load(tmp_path / "actions.npy")
    assert np.array_equal(elsewhere, model.predict(observations, deterministic=True)[0])
    assert len(set(elsewhere)) > 1


def test_the_saved_file_holds_no_buffer_and_nothing_of_ours():
    with zipfile.ZipFile(saved(trained())) as files:
        data = files.read("data")
        size = sum(info.file_size for info in files.infolist())
    assert not {"rollout_buffer", "_weights", "_random", "env"} & json.loads(data).keys()
    assert b"dosvotos" not in data
    n_parameters = 15 * 16 * 2 + 16 * 2 + 16 * 3 + 3 + 16 + 1
    assert size < 4 * 3 * n_parameters + 90_000


def test_parameters_of_another_model_are_taken_over_whole():
    teacher, pupil = trained(), small(market(), seed=5)
    pupil.learn(256)
    pupil.set_parameters(copy.deepcopy(teacher.get_parameters()))
    assert_same_to_the_last_bit(teacher, pupil)
    untouched = copy.deepcopy(teacher.get_parameters())
    pupil.train()
    assert largest_difference(teacher, pupil) > 0
    assert all(torch.equal(untouched["policy"][n], t) for n, t in teacher.policy.state_dict().items())
    fresh = small(market(), seed=6)
    pupil.set_parameters(fresh.get_parameters())  # an optimiser that has not stepped yet
    pupil.rollout_buffer = copy.deepcopy(teacher.rollout_buffer)
    pupil.train()
    assert steps_of(pupil) == 16
