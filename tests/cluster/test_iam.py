"""The rights of cluster/iam are enough for what Ray's AWS node provider calls, and no action is a wildcard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

boto3 = pytest.importorskip("boto3")
CLUSTER = Path(__file__).parents[2] / "cluster"
INSTANCE = {
    "InstanceId": "i-1",
    "State": {"Name": "running", "Code": 16},
    "StateReason": {"Message": "x"},
    "LaunchTime": "2026-01-01T00:00:00Z",
    "Tags": [{"Key": "ray-cluster-name", "Value": "xner"}],
}
ANSWERS = {
    "RunInstances": {"Instances": [INSTANCE]},
    "DescribeInstances": {"Reservations": [{"Instances": [INSTANCE]}]},
    "DescribeInstanceTypes": {"InstanceTypes": []},
}


def statements(name: str) -> list[dict]:
    return json.loads((CLUSTER / "iam" / f"{name}.json").read_text(encoding="utf-8"))["Statement"]


def actions(statement) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.fixture
def calls(monkeypatch):
    """The calls of boto3's clients for EC2, each with its parameters. None leaves this machine."""
    recorded = []

    def answer(model, params, **_):
        body = params["body"]
        recorded.append((model.name, body))
        return type("Response", (), {"status_code": 200, "headers": {}})(), ANSWERS.get(model.name, {})

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    boto3.setup_default_session(region_name="us-west-2")
    boto3.DEFAULT_SESSION.events.register("before-call.ec2", answer)
    return recorded


def test_the_head_may_call_what_the_node_provider_calls(calls):
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider, list_ec2_instances

    config = yaml.safe_load((CLUSTER / "aws.yaml").read_text(encoding="utf-8"))
    node_config = config["available_node_types"]["v100x1-spot"]["node_config"] | {"SubnetIds": ["subnet-1"]}
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    assert list(provider.create_node(node_config, {"ray-node-type": "worker"}, 1)) == ["i-1"]
    (node,) = provider.non_terminated_nodes({})
    assert provider.is_running(node)
    provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([node])
    list_ec2_instances("us-west-2")
    names = {f"ec2:{name}" for name, _ in calls}
    assert {"ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances", "ec2:DescribeInstances"} <= names
    assert names <= {action for statement in statements("head") for action in actions(statement)}
    # The condition on new nodes: they have the tag of this cluster.
    (run,) = [body for name, body in calls if name == "RunInstances"]
    tags = {
        v: run[k.replace(".Key", ".Value")] for k, v in run.items() if "TagSpecification" in k and k.endswith(".Key")
    }
    (start,) = [
        s for s in statements("head") if s.get("Condition", {}).get("StringEquals", {}).keys() >= {CLUSTER_TAG}
    ]
    assert tags["ray-cluster-name"] == start["Condition"]["StringEquals"][CLUSTER_TAG] == config["cluster_name"]
    assert (
        run["TagSpecification.1.ResourceType"] == "instance"
    )  # only instances have tags, so only they have the condition
    assert run["IamInstanceProfile.Name"] == "xner-worker"
    (passed,) = [s["Resource"] for s in statements("head") if "iam:PassRole" in actions(s)]
    assert passed.endswith(":role/xner-worker")
    assert run["ImageId"].startswith("resolve:ssm:/aws/service/")
    assert "ssm:GetParameters" in {a for s in statements("head") for a in actions(s)}


CLUSTER_TAG = "aws:RequestTag/ray-cluster-name"


@pytest.mark.parametrize("name", ["head", "storage"])
def test_no_action_is_a_wildcard(name):
    for statement in statements(name):
        assert statement["Effect"] == "Allow" and not any("*" in action for action in actions(statement))
        if statement["Resource"] == "*":  # these actions have no resources
            assert all(action.startswith("ec2:Describe") for action in actions(statement))


def test_changes_of_nodes_are_limited_to_this_cluster():
    for statement in statements("head"):
        if {"ec2:TerminateInstances", "ec2:CreateTags"} & set(actions(statement)):
            condition = statement["Condition"]["StringEquals"]
            assert condition in ({"aws:ResourceTag/ray-cluster-name": "xner"}, {"ec2:CreateAction": "RunInstances"})
