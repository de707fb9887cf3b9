"""The KubeRay manifests against the CRDs of KubeRay 1.7.0, whose folder KUBERAY_CRDS names."""

from __future__ import annotations

import copy
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.manifests import close, crds, documents, problems

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "cluster" / "kuberay"
FILES = {"raycluster.yaml": "RayCluster", "rayjob.yaml": "RayJob", "raycronjob.yaml": "RayCronJob"}


@pytest.fixture(scope="module")
def schemas():
    folder = os.environ.get("KUBERAY_CRDS")
    if not folder:
        pytest.skip("KUBERAY_CRDS names no folder with the CRDs of KubeRay")
    found = crds(Path(folder))
    assert set(FILES.values()) <= set(found)
    return found


def load(name: str):
    manifest, *more = documents(KUBERAY / name)
    assert not more
    return manifest


def cluster_of(name: str):
    spec = load(name)["spec"]
    job = spec.get("jobTemplate", spec)
    return job.get("rayClusterSpec", job)


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_a_manifest_fits_its_crd(schemas, name, kind):
    assert problems(load(name), schemas[kind]) == []


def _job_typo(m):
    m["spec"]["submissionMde"] = m["spec"].pop("submissionMode")


def _words_for_numbers(m):
    m["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = "three"


def _deep_typo(m):
    container = m["spec"]["rayClusterSpec"]["workerGroupSpecs"][1]["template"]["spec"]["containers"][0]
    container["resource"] = container.pop("resources")


def _no_such_version(m):
    m["spec"]["rayClusterSpec"]["autoscalerOptions"]["version"] = "v3"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_job_typo, "submissionMde"),
        (_words_for_numbers, "'three' is not of type 'integer'"),
        (_deep_typo, "'resource' was unexpected"),
        (_no_such_version, "'v3' is not one of"),
        (lambda m: m["spec"]["rayClusterSpec"].pop("headGroupSpec"), "'headGroupSpec' is a required property"),
        (lambda m: m["metadata"].update(labls={}), "labls"),
        (lambda m: m.update(apiVersion="ray.io/v1alpha1"), "'ray.io/v1' was expected"),
    ],
)
def test_a_mistake_is_found(schemas, harm, told):
    harmed = copy.deepcopy(load("rayjob.yaml"))
    harm(harmed)
    assert any(told in problem for problem in problems(harmed, schemas["RayJob"]))


def test_a_cron_job_of_ray_has_no_lock_of_its_own(schemas):
    """Why raycronjob.yaml says that the job must see to it: the field one would look for is not there."""
    harmed = load("raycronjob.yaml")
    harmed["spec"]["concurrencyPolicy"] = "Forbid"
    assert any("concurrencyPolicy" in problem for problem in problems(harmed, schemas["RayCronJob"]))


def test_the_plain_cron_job(schemas):
    """Its pod against the pod template that the CRD of RayJob holds; the rest is the core API, spelt out here."""
    by_kind = {m["kind"]: m for m in documents(KUBERAY / "cronjob.yaml")}
    assert list(by_kind) == ["ServiceAccount", "Role", "RoleBinding", "CronJob"]
    spec = by_kind["CronJob"]["spec"]
    cron = {
        "schedule",
        "timeZone",
        "concurrencyPolicy",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "jobTemplate",
    }
    assert set(spec) == cron and set(spec["jobTemplate"]["spec"]) == {"backoffLimit", "template"}
    pod = schemas["RayJob"]["properties"]["spec"]["properties"]["submitterPodTemplate"]
    assert problems(spec["jobTemplate"]["spec"]["template"], pod) == []
    broken = copy.deepcopy(spec["jobTemplate"]["spec"]["template"])
    broken["spec"]["serviceAcountName"] = "x"
    assert problems(broken, pod)


def test_the_plain_cron_job_may_do_what_it_does():
    by_kind = {m["kind"]: m for m in documents(KUBERAY / "cronjob.yaml")}
    name = by_kind["ServiceAccount"]["metadata"]["name"]
    pod = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == name == by_kind["RoleBinding"]["subjects"][0]["name"]
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    (rule,) = by_kind["Role"]["rules"]
    script = pod["containers"][0]["args"][0]
    assert subprocess.run(["sh", "-n", "-c", script], capture_output=True).returncode == 0
    done = {word for word in ("get", "delete", "create") if f"kubectl {word} -f /nightly/rayjob.yaml" in script}
    assert rule["apiGroups"] == ["ray.io"] and rule["resources"] == ["rayjobs"]
    assert done == {"get", "delete", "create"} <= set(rule["verbs"])
    assert pod["volumes"][0]["configMap"]["name"] == "xner-nightly"
    assert load("rayjob.yaml")["metadata"]["name"]  # a name, not generateName: it is the lock


@pytest.mark.parametrize("name", FILES)
def test_gpus_come_from_zero_and_spot_comes_first(name):
    spec = cluster_of(name)
    assert spec["enableInTreeAutoscaling"] is True and spec["autoscalerOptions"]["version"] == "v2"
    assert spec["authOptions"] == {"mode": "token"}
    groups = {g["groupName"]: g for g in spec["workerGroupSpecs"]}
    assert all(g["replicas"] == g["minReplicas"] == 0 < g["maxReplicas"] for g in groups.values())
    gpus = {n for n, g in groups.items() if "nvidia.com/gpu" in limits(g)}
    assert gpus == {"v100", "v100-spot", "a100", "a100-spot"}
    for spot in (n for n in groups if n.endswith("-spot")):
        twin = groups[spot.removesuffix("-spot")]
        assert groups[spot]["priority"] > twin["priority"] and limits(groups[spot]) == limits(twin)
        assert "capacity-type" in str(groups[spot]["template"]["spec"]["nodeSelector"])


def limits(group):
    return group["template"]["spec"]["containers"][0]["resources"]["limits"]


def test_all_three_have_one_cluster():
    assert cluster_of("rayjob.yaml") == cluster_of("raycluster.yaml") == cluster_of("raycronjob.yaml")
    assert cluster_of("raycluster.yaml")["rayVersion"] == pinned("ray")


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycronjob.yaml"])
def test_an_entrypoint_names_what_is_here(name):
    spec = load(name)["spec"]
    python, script, config, *overrides = spec.get("jobTemplate", spec)["entrypoint"].split()
    assert python == "python" and (ROOT / script).is_file() and (ROOT / config).is_file()
    assert all("=" in override for override in overrides)


def test_nights_refresh():
    """The RayCronJob, and the RayJob that the command of the README makes for the plain CronJob."""
    from xner_ray.config.load import load_config

    readme = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    (command,) = [x.strip() for x in readme.splitlines() if x.strip().startswith("sed 's|jobs/pipeline.py|")]
    making, _, creating = command.partition(" | ")
    assert creating.startswith("kubectl create configmap xner-nightly --from-file=rayjob.yaml=")
    made = subprocess.run(["sh", "-c", making], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    nightly = yaml.safe_load(made)["spec"]["entrypoint"]
    assert nightly == load("raycronjob.yaml")["spec"]["jobTemplate"]["entrypoint"]
    python, script, config, *overrides = nightly.split()
    assert (python, script) == ("python", "jobs/refresh.py")
    assert load_config(ROOT / config, overrides).opus.limit_gb == 50


def test_closing_leaves_open_what_is_open():
    schema = {
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}, "b": {"properties": {}}}
    }
    open_one = {"properties": {"x": {}}, "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["c"] = open_one
    close(schema)
    assert problems({"a": {"any": "text"}, "c": {"any": 1}}, schema) == []
    assert problems({"b": {"any": 1}}, schema) and problems({"d": 1}, schema)
