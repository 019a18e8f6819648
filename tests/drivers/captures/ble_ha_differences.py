"""Where ``ble_ha`` says something else than the packages were asserted to say, and why."""

from collections.abc import Mapping

from tests.drivers.captures.adverts import differs
from tests.drivers.captures.parts import Difference

__all__ = ["DIFFERENCES"]

RAW = "its values stand in the raw packet only, which BlueZ does not hand out"
STALE = "those are the values of an earlier advertisement"
NO_AIR = "no air is so warm or cold; for a thermocouple the options name another quantity"
MAINS = "no device runs on that voltage: where it is measured, the options have to say so"


DIFFERENCES: Mapping[str, Mapping[str, Difference]] = {
    "bluemaestro": {
        "test_temp_disc_thd_raw": differs(RAW),
    },
    "inkbird": {
        "test_raw_manufacturer_data": differs(f"{RAW}: the parser raises", None, "unknown"),
        "test_tps_multi_entry_dict_with_raw": differs(RAW),
        "test_tps_multi_entry_dict_without_raw_bails +1": differs(STALE),
        "test_adv_humidity_boundary_invariant[IBS-TH2] +1": differs(
            "the humidity is impossible and left out; their test looks at nothing else",
            {("air.temperature", ""): 22.48, ("device.battery", ""): 100},
        ),
        "test_corrupt_name[IBS-TH0]": differs("their test tells the parser the model"),
        "test_corrupt_name[IBS-TH1]": differs("their test tells the parser the model"),
    },
    "sensorpro": {
        "test_t301_raw": differs(RAW),
    },
    "sensorpush": {
        "test_ht_w_raw": differs(RAW),
        "test_ht1_max_value": differs(NO_AIR, {("air.humidity", ""): 100}, "range"),
        "test_ht1_min_value": differs(NO_AIR, {("air.humidity", ""): 0}, "range"),
        "test_tcx_overwriting_mfr_data +1": differs(NO_AIR, None, "range"),
        "test_tcx_overwriting_mfr_data +2": differs(NO_AIR, None, "range"),
        "test_tcx_overwriting_mfr_data +3": differs(NO_AIR, None, "range"),
        "test_tc_detection_active_scans": differs(NO_AIR, None, "range"),
    },
    "thermobeacon": {
        "test_mfr_48_raw": differs(RAW),
    },
    "thermopro": {
        "test_tp357_raw": differs(RAW),
        "test_tp357s +1": differs(STALE),
        "test_tp357s_invalid_values +1": differs(STALE, {("device.battery", ""): 100}),
    },
    "bthome": {
        "test_downgrade_detected_flag_v1 +1": differs(f"a forgery, and {STALE}", None, "unknown"),
        "test_downgrade_detected_flag_v1 +2": differs("a copy of the first"),
        "test_bthome_pm": differs("7,170 ug/m3: no dust sensor says so", None, "range"),
        "test_bthome_pm +1": differs("7,170 ug/m3: no dust sensor says so", None, "range"),
        "test_bthome_voltage_2": differs(MAINS, None, "range"),
        "test_bthome_double_voltage_different_object_id": differs(
            MAINS,
            {("device.battery", ""): 51, ("device.voltage", "2"): 3.305, ("power.active", ""): 0},
            "range",
        ),
    },
    "xiaomi_mibeacon": {
        "test_Xiaomi_HHCCJCY01_all_values +1": differs(STALE),
        "test_Xiaomi_HHCCJCY01_all_values +2": differs(STALE),
        "test_Xiaomi_HHCCJCY01_all_values +3": differs(STALE, {("air.temperature", ""): 24.4}),
        "test_Xiaomi_YLKG07YL_press": differs(
            "old encryption that shows no change, with a key of the new one: only events anyhow",
            None,
            "unknown",
        ),
        "test_Xiaomi_YLKG07YL_rotate": differs(
            "old encryption that shows no change, with a key of the new one: only events anyhow",
            None,
            "unknown",
        ),
    },
    "qingping": {
        "test_motion_and_light_signal_only": differs("dropped in 1.3: never a light"),
        "test_has_motion": differs("dropped in 1.3: never a light"),
        "test_motion_and_light_high_illuminance": differs("dropped in 1.3: never a light"),
    },
    "hci_air_misc": {
        "test_Govee_H5055": differs("govee-ble knows it by a service that is not in this packet"),
        "test_Govee_H5178_sensor_0": differs(
            "the part of the device is the channel",
            {
                ("air.humidity", "primary"): 58.3,
                ("air.temperature", "primary"): 23.7,
                ("device.battery", "primary"): 100,
            },
        ),
        "test_Govee_H5178_sensor_1": differs(
            "the part of the device is the channel",
            {
                ("air.humidity", "remote"): 71.9,
                ("air.temperature", "remote"): 19.5,
                ("device.battery", "remote"): 100,
            },
        ),
        "test_qingping_CGPR1_2": differs("dropped in 1.3: never a light"),
        "test_inkbird_IBS_TH_external": differs(
            "inkbird-ble does not tell the probe on a cable from the sensor inside",
            {
                ("air.humidity", ""): 56.24,
                ("air.temperature", ""): 26.19,
                ("device.battery", ""): 100,
            },
        ),
        "test_Xiaomi_LYWSD03MMC_encrypted": differs(
            "xiaomi-ble rounds it", {("air.humidity", ""): 46}
        ),
        "test_Xiaomi_PTX_F1_Display_temperature": differs("a model that xiaomi-ble does not know"),
        "test_Xiaomi_PTX_F1_Display_humidity": differs("a model that xiaomi-ble does not know"),
        "test_Xiaomi_RTCGQ02LM": differs(
            "its key fits the packet as little as ours; no value was expected of it",
            None,
            "key_wrong",
        ),
    },
}
"""By file, and kind."""
