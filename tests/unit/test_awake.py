"""Keeping the processors awake, where the machine allows it."""

from bench import awake


def test_processors_are_asked_not_to_sleep(tmp_path, monkeypatch):
    latency = tmp_path / "cpu_dma_latency"
    latency.write_bytes(b"????")
    monkeypatch.setattr(awake, "_LATENCY", str(latency))

    with awake.processors_awake() as are_awake:
        assert (are_awake, latency.read_bytes()) == (True, bytes(4))


def test_a_machine_that_does_not_allow_it_measures_nevertheless(tmp_path, monkeypatch):
    monkeypatch.setattr(awake, "_LATENCY", str(tmp_path / "none"))

    with awake.processors_awake() as are_awake:
        assert not are_awake
