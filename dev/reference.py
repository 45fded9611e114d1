"""`make reference`: the pages of docs/reference on the API, parameters, alarms and commands, from their sources."""

import inspect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from dev.template import ROOT, WITH_PARTNER, WITH_PAYMENT_EVENTS, source, template_with
from ops.cli.main import main as operators

FOLDER = ROOT / "docs/reference"
_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": "at least",
    "GreaterThanThreshold": "more than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "at most",
}


@click.command()
def reference() -> None:
    """Generate pages in docs/reference from code and template."""
    developers = click.get_current_context().find_root().command
    for name, text in pages(developers).items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages(developers: click.Command) -> dict[str, str]:
    """Return the text of each generated page by its file name; ``developers`` is the group `python -m dev`."""
    configurations = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return {
        "api.md": _api(json.loads((ROOT / "functions/orders/openapi.json").read_text(encoding="utf-8"))),
        "parameters.md": _parameters(source()["Parameters"], configurations),
        "alarms.md": _alarms(),
        "cli.md": _commands(developers),
    }


def _page(title: str, source: str, introduction: str, *sections: str) -> str:
    marker = f"<!-- Generated from {source} by `make reference`; a test compares it. -->"
    return "\n\n".join([f"# {title}", marker, introduction, *sections]) + "\n"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "&#124;") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- API --------------------------------------------------------------------------------------------------------------

_API = """\
The whole description is the OpenAPI 3.1 document [openapi.json](../../functions/orders/openapi.json), which
`GET /openapi.json` returns. This page is its summary.

- **Tokens.** Send `Authorization: Bearer TOKEN`. The user is the token's claim `sub`.
- **Idempotency.** Every `POST` can be repeated safely. `POST /orders` and `POST /orders/{orderId}/refunds` need an
  `Idempotency-Key`: the same key gets the same answer. A key belongs to one user, or to one order for a refund. An
  attempt that changed nothing (invalid, out of stock) leaves the key free.
- **Amounts** are integers in minor units, such as cents.
- **Errors** are problem documents (RFC 9457). Decide by `type`, and by the status if you do not know the type. The
  gateway's own errors (401 without a valid token, 413, 429 above the throttle, 503) have the form `{"message": "..."}`,
  in the tables below `GatewayMessage`.
- **Limits.** 50 lines, 999 of a product, 64 KB. Lines with the same product are merged.
- **Pages.** `next` in a response is the `cursor` of the next page.
- **Sandbox payments.** The `paymentToken` decides the outcome: `tok_approve`; `tok_decline`; `tok_timeout_held` (takes
  the hold, loses its first response); `tok_timeout` (loses the first request); `tok_fail_once` (refuses the first one);
  `tok_refund_pending` (a refund is pending first); `tok_refund_fails` (refunds fail). The customer has to confirm
  `tok_action`, `tok_action_fail` (the confirmation fails) and `tok_action_abandon` (it never ends): see [Let customers
  confirm payments](../how-to/let-customers-confirm-payments.md).

## Tokens for programs

Some routes need a scope, which customers' tokens do not have. The stack's own user pool gives each scope to one client
for its secret, at the output `TokenUrl` (OAuth client credentials). Without the client, these routes answer 403. Your
own issuer must give out the scope. [Tokens for programs](../how-to/cancel-refund-return.md#tokens-for-programs) lists
the scopes and shows how a program gets a token. `handoff token` prints one for an operator, valid for one hour; on the
local stack:

```sh
curl "http://localhost:4566/_aws/execute-api/0a1b2c3d/\\$default/reports/sales?from=2026-11-01&to=2026-11-30" \\
  -H "Authorization: Bearer $(.venv/bin/handoff token --scope reports:read --local)"
```"""


def _api(document: Mapping[str, Any]) -> str:
    sections = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            sections += [
                f"## {method.upper()} {path}",
                f"{operation['summary']}. {operation['description']}",
                _access(operation),
            ]
            parameters = [
                [f"`{each['name']}`", each["in"], each.get("description", "")] for each in operation["parameters"]
            ]
            sections.append(_table(["parameter", "in", "meaning"], parameters))
            answers = [
                [status, _returned(document, answer["content"])] for status, answer in operation["responses"].items()
            ]
            sections.append(_table(["status", "body"], answers))
    return _page("API", "functions/orders/openapi.json", _API, *sections)


def _access(operation: Mapping[str, Any]) -> str:
    if "security" not in operation:
        return "Open: needs no token."
    scopes = [scope for required in operation["security"] for scope in required["token"]]
    return f"Needs a token with the scope `{scopes[0]}`." if scopes else "Needs a token."


def _returned(document: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """Return what a response holds: schemas, and the types of problem documents."""
    found = []
    for media in content.values():
        for schema in media["schema"].get("oneOf", [media["schema"]]):
            name = schema.get("$ref", "any JSON").rpartition("/")[2]
            members = document["components"]["schemas"].get(name, {}).get("properties", {})
            found.append(f"`{members['type']['const']}`" if name.endswith("Problem") else f"`{name}`")
    return ", ".join(dict.fromkeys(found))


# --- parameters -------------------------------------------------------------------------------------------------------


def _parameters(parameters: Mapping[str, Any], configurations: Mapping[str, Any]) -> str:
    used = {
        name: dict(pair.split("=", 1) for pair in configuration["deploy"]["parameters"]["parameter_overrides"])
        for name, configuration in configurations.items()
        if isinstance(configuration, dict)
    }
    rows = [
        [
            f"`{name}`",
            _code(declared["Default"]),
            _allowed(declared),
            ", ".join(f"{where}: {_code(values[name])}" for where, values in used.items() if name in values),
            " ".join(declared.get("Description", declared.get("ConstraintDescription", "")).split()),
        ]
        for name, declared in parameters.items()
    ]
    return _page(
        "Parameters",
        "template.yaml and samconfig.toml",
        "Everything that differs between deployments is a parameter of [template.yaml](../../template.yaml). "
        "[samconfig.toml](../../samconfig.toml) sets the values in the column *set to*; all others keep their default. "
        "[Deploy to AWS](../how-to/deploy.md) says how to change one.",
        _table(["parameter", "default", "allowed", "set to", "meaning"], rows),
    )


def _code(value: object) -> str:
    return f"`{value}`" if str(value) else "empty"


def _allowed(declared: Mapping[str, Any]) -> str:
    if "AllowedValues" in declared:
        return ", ".join(f"`{value}`" for value in declared["AllowedValues"])
    if "AllowedPattern" in declared:
        return f"<code>{declared['AllowedPattern']}</code>"
    least, most = declared.get("MinValue"), declared.get("MaxValue")
    if least is None:
        return "any text" if declared["Type"] == "String" else "any number"
    return f"{least} to {most}" if most else f"at least {least}"


# --- alarms -----------------------------------------------------------------------------------------------------------


def _alarms() -> str:
    alarms = template_with(**WITH_PARTNER, **WITH_PAYMENT_EVENTS).of_type("AWS::CloudWatch::Alarm")
    conditional = alarms.keys() - template_with(Audit="false").of_type("AWS::CloudWatch::Alarm").keys()
    rows = [
        [
            f"`{name}`" + (" (if configured)" if name in conditional else ""),
            f"`{alarm['Namespace']}` `{alarm['MetricName']}`, {alarm.get('ExtendedStatistic') or alarm['Statistic']}",
            _condition(alarm),
            _entry(alarm["AlarmDescription"]),
        ]
        for name, alarm in alarms.items()
    ]
    return _page(
        "Alarms",
        "template.yaml",
        "All alarms notify the topic of the output `AlarmTopicArn`. The last column leads to the alarm's entry in the "
        "[runbook](../how-to/alarms.md). `tests/template/test_alarms.py` evaluates each alarm on simulated metrics. On "
        "AWS they have not been run ([verification status](verification.md)).",
        _table(["alarm", "metric and statistic", "fires at", "what to do"], rows),
    )


def _condition(alarm: Mapping[str, Any]) -> str:
    periods, minutes = alarm["EvaluationPeriods"], alarm["Period"] // 60
    needed = alarm.get("DatapointsToAlarm", periods)
    span = f"{needed} of {periods} periods of {minutes} min" if periods > 1 else f"{minutes} min"
    missing = ", or no data" if alarm["TreatMissingData"] == "breaching" else ""
    return f"{_COMPARISONS[alarm['ComparisonOperator']]} {alarm['Threshold']:,} in {span}{missing}"


def _entry(description: str) -> str:
    anchor = description.rpartition("#")[2]
    return f"[{anchor.replace('-', ' ')}](../how-to/alarms.md#{anchor})"


# --- commands ---------------------------------------------------------------------------------------------------------


def _commands(developers: click.Command) -> str:
    return _page(
        "Commands",
        "the commands and the Makefile",
        "Operators use `handoff`, which `make run` installs as `.venv/bin/handoff`. Developers use `make`, and "
        "`python -m dev` for the same commands with more options.",
        "## handoff",
        *_paragraphs(operators.help),
        "`handoff --version` prints the version.",
        *_sections(operators, "handoff"),
        "## make",
        _table(["command", "does"], [[f"`make {name}`", does] for name, does in targets().items()]),
        "## python -m dev",
        *_sections(developers, "python -m dev"),
    )


def targets() -> dict[str, str]:
    """Return the Makefile's documented targets with their descriptions."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z][a-z-]*):.*? ## (.+)$", makefile, re.MULTILINE))


def _paragraphs(help_text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text; indented ones as code."""
    for part in inspect.cleandoc(help_text or "").split("\n\n"):
        if part.startswith("    "):
            yield f"```text\n{part.strip()}\n```"
        else:
            yield " ".join(part.split()).replace("<", "&lt;")


def _sections(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    context = click.Context(command, info_name=path if parent is None else command.name, parent=parent)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if found := command.get_command(context, name):
                yield from _sections(found, f"{path} {name}", context)
        return
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    records = [record for option in command.get_params(context) if (record := option.get_help_record(context))]
    rows = [[f"`{names}`", " ".join(text.split())] for names, text in records if text and "--help" not in names]
    yield f"### {path}"
    yield f"```text\n{usage}\n```"
    yield from _paragraphs(command.help)
    if rows:
        yield _table(["option", "meaning"], rows)
