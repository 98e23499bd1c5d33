"""CTR-FEAT-001: the 15 features a policy sees, their order and its hash."""

from typing import Final

from dosvotos.hashing import digest_json

CONTRACT_ID: Final = "CTR-FEAT-001"
VERSION: Final = "1.0.0"

TECHNICAL_FEATURES: Final = ("log_ret_5m", "log_ret_1h", "log_ret_4h", "rsi_9", "atr_pct", "adx_14")
MACRO_FEATURES: Final = (
    "dxy_z",
    "dxy_change_1d",
    "vix_z",
    "embi_z",
    "brent_change_1d",
    "rate_spread",
    "usdmxn_change_1d",
)
MARKET_FEATURES: Final = TECHNICAL_FEATURES + MACRO_FEATURES
STATE_FEATURES: Final = ("position", "time_normalized")
FEATURE_ORDER: Final = MARKET_FEATURES + STATE_FEATURES
FEATURE_ORDER_HASH: Final = digest_json({"id": CONTRACT_ID, "features": FEATURE_ORDER})

MACRO_SOURCES: Final = {
    "dxy": "fxrt_index_dxy_usa_d_dxy",
    "vix": "volt_vix_usa_d_vix",
    "embi": "crsk_spread_embi_col_d_embi",
    "brent": "comm_oil_brent_glb_d_brent",
    "usdmxn": "fxrt_spot_usdmxn_mex_d_usdmxn",
    "col10y": "finc_bond_yield10y_col_d_col10y",
    "ust10y": "finc_bond_yield10y_usa_d_ust10y",
}
"""The daily variables behind the macro features, by short name: those are required, the others optional."""
FINANCING_SOURCES: Final = {"fed_funds": "polr_fed_funds_usa_m_fedfunds", "tpm": "polr_policy_rate_col_d_tpm"}
"""The two policy rates whose difference a position held overnight earns or pays, in percent a year."""
FEATURE_VARIABLES: Final = {**MACRO_SOURCES, **FINANCING_SOURCES}
"""Every variable that a row of features is computed from, by short name."""

SOURCES_BY_FEATURE: Final = {
    "dxy_z": ("dxy",),
    "dxy_change_1d": ("dxy",),
    "vix_z": ("vix",),
    "embi_z": ("embi",),
    "brent_change_1d": ("brent",),
    "rate_spread": ("col10y", "ust10y"),
    "usdmxn_change_1d": ("usdmxn",),
    "policy_rate_difference": ("fed_funds", "tpm"),
}
"""The variables behind each macro feature and behind the financing rate beside them, by short name."""
