"""The cluster launcher files, checked with Ray's own code and without a cloud, and the Dockerfile of their image."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
CLOUDS = ["aws", "gcp"]


def read(cloud: str):
    return yaml.safe_load((CLUSTER / f"{cloud}.yaml").read_text(encoding="utf-8"))


def prepared(config):
    """Fill in the defaults, then validate, in the order of `ray up`: the validation needs keys that the defaults add."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    ready = prepare_config(copy.deepcopy(config))
    validate_config(ready)
    return ready


@pytest.mark.parametrize("cloud", CLOUDS)
def test_ray_accepts_the_file(cloud):
    ready = prepared(read(cloud))
    assert ready["provider"]["type"] == cloud and ready["head_node_type"] == "head"
    assert set(ready["available_node_types"]) == set(read(cloud)["available_node_types"])  # without default node types


@pytest.mark.parametrize(
    ("break_config", "error"),
    [
        (lambda c: c.update(max_wrkers=3), jsonschema.ValidationError),
        (lambda c: c["available_node_types"]["ingest"].update(prioritty=3), jsonschema.ValidationError),
        (lambda c: c["available_node_types"]["ingest"]["resources"].update(CPU="16"), jsonschema.ValidationError),
        (lambda c: c["available_node_types"]["ingest"].update(min_workers=40), ValueError),
        (lambda c: c.update(head_node_type="haed"), ValueError),
        (lambda c: c["docker"].update(imge="x"), jsonschema.ValidationError),
    ],
)
def test_mistake_is_an_error(break_config, error):
    config = read("aws")
    break_config(config)
    with pytest.raises(error):
        prepared(config)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_workers_start_at_zero_and_prefer_spot(cloud):
    config = prepared(read(cloud))
    types = config["available_node_types"]
    workers = {name: t for name, t in types.items() if name != "head"}
    assert types["head"]["resources"] == {"CPU": 0} and not is_spot(types["head"])  # no actor runs beside the driver
    assert {n for n, t in workers.items() if "GPU" not in t["resources"]} == {"ingest", "ingest-spot"}
    assert all(t["min_workers"] == 0 < t["max_workers"] for t in workers.values())
    spot_types = [n for n in workers if n.endswith("-spot")]
    assert len(spot_types) * 2 == len(workers)
    for spot in spot_types:
        twin = workers[spot.removesuffix("-spot")]
        assert is_spot(workers[spot]) and not is_spot(twin)
        assert workers[spot]["priority"] > twin["priority"] and workers[spot]["resources"] == twin["resources"]
        assert machine(workers[spot]) == machine(twin)
        assert workers[spot].get("initialization_commands") == twin.get("initialization_commands")


def is_spot(node_type) -> bool:
    config = node_type["node_config"]
    return "SPOT" in str(config.get("scheduling")) or "spot" in str(config.get("InstanceMarketOptions"))


def machine(node_type) -> str:
    return node_type["node_config"].get("InstanceType") or node_type["node_config"]["machineType"]


@pytest.mark.parametrize(
    ("name", "instance", "cpus", "gpus", "kind"),
    [
        ("v100x1", "p3.2xlarge", 8, 1, "V100"),
        ("v100x4", "p3.8xlarge", 32, 4, "V100"),
        ("a100x8", "p4d.24xlarge", 96, 8, "A100"),
        ("h100x1", "p5.4xlarge", 16, 1, "H100"),
    ],
)
def test_aws_instances_have_these_resources(name, instance, cpus, gpus, kind):
    node_type = read("aws")["available_node_types"][name]
    resources = {"CPU": cpus, "GPU": gpus, f"accelerator_type:{kind}": 1}
    assert machine(node_type) == instance and node_type["resources"] == resources


def test_gcp_machines_have_these_accelerators():
    types = read("gcp")["available_node_types"]
    for name, t in types.items():
        gpus = t["resources"].get("GPU", 0)
        cards = t["node_config"].get("guestAccelerators", [])
        assert machine(t).startswith("n1-") == bool(cards), f"{name}: only N1 machines take guestAccelerators"
        assert not cards or cards[0]["acceleratorCount"] == gpus
        assert not gpus or t["node_config"]["scheduling"]["onHostMaintenance"] == "TERMINATE"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_node_has_container_shared_folder_and_token(cloud):
    config = read(cloud)
    assert "-v /shared:/shared" in config["docker"]["run_options"]
    assert "-e RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert list(config["file_mounts"]) == ["/home/ray/.ray/auth_token"]
    for name, t in config["available_node_types"].items():
        commands = " ".join(t.get("initialization_commands", config["initialization_commands"]))
        assert "/shared" in commands and "docker.io" in commands, name
        assert ("nvidia-headless-no-dkms-580-server" in commands) == (
            "v100" in name or (cloud == "gcp" and "00x" in name)
        )


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_socket_of_docker_is_open_to_one_user(cloud):
    config = read(cloud)
    for t in config["available_node_types"].values():
        commands = " ".join(t.get("initialization_commands", config["initialization_commands"]))
        assert "chgrp" in commands and "666" not in commands and "777 /var" not in commands


@pytest.mark.parametrize("cloud", CLOUDS)
def test_workers_watch_for_the_notice_of_spot_machines(cloud):
    (command,) = [c for c in read(cloud)["worker_start_ray_commands"] if "drain_spot_node.py" in c]
    assert f"drain_spot_node.py {cloud} --address $RAY_HEAD_IP:6379" in command and command.endswith("&")
    dockerfile = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY --chown=ray cluster/drain_spot_node.py /home/ray/\n" in dockerfile


def test_only_the_head_of_aws_may_start_nodes():
    types = read("aws")["available_node_types"]
    profiles = {name: t["node_config"]["IamInstanceProfile"]["Name"] for name, t in types.items()}
    assert profiles.pop("head") == "xner-head" and set(profiles.values()) == {"xner-worker"}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_command_is_valid_shell(cloud):
    config = read(cloud)
    commands = [
        *config["initialization_commands"],
        *config["head_start_ray_commands"],
        *config["worker_start_ray_commands"],
    ]
    for t in config["available_node_types"].values():
        commands += t.get("initialization_commands", [])
    assert [c for c in commands if not parses(c)] == []
    assert not parses(commands[1].replace("}", ""))


def parses(command: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def test_the_image_has_the_ray_of_the_constraints_and_kernels_for_v100():
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    ray = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray=="))
    assert f"ARG RAY_VERSION={ray.partition('==')[2]}\n" in text
    assert "ARG TORCH_INDEX=https://download.pytorch.org/whl/cu126\n" in text and "ARG KERNELS=sm_70\n" in text
    for sources in re.findall(r"^COPY --chown=ray (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).is_file() for source in sources.split()), sources
    extras = re.search(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    declared = (ROOT / "pyproject.toml").read_text()
    assert extras and all(f"\n{extra} = [" in declared for extra in extras[1].split(","))
