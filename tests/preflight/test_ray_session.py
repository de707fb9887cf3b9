"""A local Ray belongs to its process: loopback only, a token of its own, and never the cluster that happens to run here."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness.null_runs import ray_head
from xner_ray.config import RayConfig
from xner_ray.preflight.ray_session import cluster_address

ROOT = Path(__file__).parents[2]
PROBE = "import socket, sys; print([p for p in sys.argv[2:] if not socket.socket().connect_ex((sys.argv[1], int(p)))])"
NODES = "import sys; from ray._raylet import GcsClient; print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=20)))"
CONNECT = """
import sys
from xner_ray.config import RayConfig
from xner_ray.preflight.ray_session import connect
connect(RayConfig(num_cpus=1))
import ray
task = ray.remote(lambda: "ran")
print(ray.get(task.remote()), ray.get_runtime_context().gcs_address, len(ray.nodes()), ray.cluster_resources()["CPU"])
"""


@pytest.fixture
def listeners(ray_session) -> list[tuple[str, int]]:
    """Addresses and ports on which the Ray of the tests listens: those of this process and of all its children."""

    @ray_session.remote
    class Actor:
        def pid(self) -> int:
            return os.getpid()

    actor = Actor.remote()
    pid = ray_session.get(actor.pid.remote())
    processes = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    assert pid in processes
    sockets = [c for c in psutil.net_connections("inet") if c.pid in processes and c.status == psutil.CONN_LISTEN]
    assert len(sockets) >= 7  # GCS, raylet, object manager, agents, metrics, workers
    return [(c.laddr.ip, c.laddr.port) for c in sockets]


def test_a_local_ray_has_the_cpus_of_the_affinity():
    """Slurm and taskset give a process some of the cores, and Ray would count all of them."""
    one_core = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    script = one_core + CONNECT.replace("num_cpus=1", "")
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=200)
    assert done.stdout.split()[-1] == "1.0", done.stderr


def test_local_ray_listens_on_loopback_only(listeners):
    assert {ip for ip, _ in listeners} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@contextlib.contextmanager
def other_machine() -> Iterator[tuple[str, str]]:
    """A network namespace that reaches this one by a cable: its name, and the address of this machine in it."""
    name = f"xner{uuid.uuid4().hex[:8]}"
    here, there = f"{name[4:]}h", f"{name[4:]}t"
    commands = [
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name {there} netns {name}",
        f"ip addr add 10.213.77.1/30 dev {here}",
        f"ip link set {here} up",
        f"ip -n {name} addr add 10.213.77.2/30 dev {there}",
        f"ip -n {name} link set {there} up",
    ]
    try:
        for command in commands:
            try:
                subprocess.run(command.split(), check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as e:
                pytest.skip(f"no network namespaces: `{command}` fails here ({e})")
        yield name, "10.213.77.1"
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            subprocess.run(["ip", "link", "del", here], capture_output=True)


def test_another_machine_reaches_no_port_of_a_local_ray(listeners):
    with other_machine() as (name, address), socket.create_server(("0.0.0.0", 0)) as open_to_all:
        control = open_to_all.getsockname()[1]
        ports = [str(port) for port in (control, *(port for _, port in listeners))]
        probe = ["ip", "netns", "exec", name, sys.executable, "-c", PROBE, address, *ports]
        reached = subprocess.run(probe, capture_output=True, text=True, timeout=60)
        assert reached.stdout.strip() == f"['{control}']", reached.stderr


def test_a_process_without_the_token_is_refused(ray_session, tmp_path):
    address = ray_session.get_runtime_context().gcs_address
    for variables in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        env = {**os.environ, **variables, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", NODES, address], env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode and "InvalidAuthToken" in done.stderr


def test_the_token_stays_with_ray(ray_session):
    """Not in the environment, whose heirs may start clusters, not on a command line, and not in a file of the home."""
    token = ray_session.get(ray_session.remote(lambda: os.environ["RAY_AUTH_TOKEN"]).remote())
    assert len(token) == 64 and token not in os.environ.values()
    assert not [p for p in psutil.process_iter(["cmdline"]) if token in " ".join(p.info["cmdline"] or [])]
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    saved = Path.home() / ".ray/auth_token"
    assert not saved.exists() or saved.read_text().strip() != token


@pytest.mark.parametrize(
    ("configured", "variable", "address"),
    [
        (None, None, None),
        (None, "", None),
        ("local", "10.0.0.1:6379", None),
        (None, "local", None),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),
        ("auto", None, "auto"),
        ("10.0.0.2:6379", "10.0.0.1:6379", "10.0.0.2:6379"),
    ],
)
def test_a_cluster_is_joined_only_where_it_is_named(monkeypatch, configured, variable, address):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert cluster_address(RayConfig(address=configured)) == address


@pytest.mark.slow
@pytest.mark.parametrize("current", ["dead", "live"])
def test_local_ray_is_started_beside_any_other(current):
    """`ray_current_cluster` names the live head of another user, or a dead one."""
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"PYTHONPATH": str(ROOT)}
    with ray_head(2) as head, tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "ray_current_cluster").write_text(head.address if current == "live" else "127.0.0.1:1")
        env["RAY_TMPDIR"] = folder
        started = subprocess.run([sys.executable, "-c", CONNECT], env=env, capture_output=True, text=True, timeout=200)
        assert started.returncode == 0, started.stderr
        result, address, nodes, cpus = started.stdout.split()[-4:]
        assert (result, nodes, cpus) == ("ran", "1", "1.0") and address != head.address


@pytest.mark.slow
def test_an_error_in_ray_data_is_raised_and_not_printed():
    run = """
from xner_ray.config import RayConfig
from xner_ray.preflight.ray_session import connect
connect(RayConfig(num_cpus=1))
import ray
from xner_ray.errors import UserError
def fail(batch):
    raise UserError("is damaged", file="shard", remedy="run again")
try:
    list(ray.data.range(1).map_batches(fail).iter_rows())
except UserError as e:
    print(e.problem)
"""
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, text=True, cwd=ROOT, check=True, timeout=200
    )
    assert "is damaged" in done.stdout and "Traceback" not in done.stdout + done.stderr
