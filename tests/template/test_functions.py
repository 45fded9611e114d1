"""Functions: runtime, layers, environment variables and log groups."""

import re

import pytest

from dev.template import (
    ROOT,
    WITH_PARTNER,
    WITH_PAYMENT_EVENTS,
    WITH_STRIPE,
    Properties,
    Template,
    logical_id,
    source,
    template_with,
    variables_of,
)
from shop import money
from tests.template import function_source


def test_every_function_folder_is_deployed() -> None:
    folders = {folder.name for folder in (ROOT / "functions").iterdir() if list(folder.glob("*.py"))}
    assert template_with(**WITH_PAYMENT_EVENTS, **WITH_PARTNER).functions().keys() == folders


def test_a_functions_module_is_named_after_its_folder(template: Template) -> None:
    for name, function in template.functions().items():
        assert function["Handler"] == f"{name}.handler"


def test_functions_run_on_python_3_13_and_arm64(function: Properties) -> None:
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]


def test_runtime_and_architecture_are_parameters_of_functions_and_layers() -> None:
    template = template_with(Runtime="python3.12", Architecture="x86_64")
    assert {function["Runtime"] for function in template.functions().values()} == {"python3.12"}
    assert {tuple(function["Architectures"]) for function in template.functions().values()} == {("x86_64",)}
    layers = template.of_type("AWS::Lambda::LayerVersion").values()
    assert {tuple(layer["CompatibleRuntimes"]) for layer in layers} == {("python3.12",)}


def test_every_function_has_both_layers_and_emails_its_own(template: Template) -> None:
    layers = {name: layer["Content"]["S3Key"] for name, layer in template.of_type("AWS::Lambda::LayerVersion").items()}
    for name, function in template.functions().items():
        own = {"layers/mails"} if name == "emails" else set()
        having = {layers[logical_id(layer)] for layer in function["Layers"]}
        assert having == {"layers/dependencies", "layers/handoff"} | own


def test_other_stacks_can_find_the_layers(template: Template) -> None:
    layers = {layer["Content"]["S3Key"]: name for name, layer in template.of_type("AWS::Lambda::LayerVersion").items()}
    for output, folder in (("HandoffLayerArn", "handoff"), ("DependenciesLayerArn", "dependencies")):
        assert template.outputs[output]["Value"] == f"${{{layers[f'layers/{folder}']}}}"
        # A version's ARN changes with the layer, and CloudFormation changes no export that another stack imports.
        assert "Export" not in template.outputs[output]


def test_only_functions_that_call_stripe_have_its_layer() -> None:
    template = template_with(**WITH_STRIPE)
    layers = {layer["Content"]["S3Key"]: name for name, layer in template.of_type("AWS::Lambda::LayerVersion").items()}
    library = f"${{{layers['layers/stripe']}}}"
    having = {name for name, function in template.functions().items() if library in function["Layers"]}
    assert having == {"orders", "settlement", "sweeper"}
    assert layers["layers/stripe"] not in template_with().resources


def test_tracing_is_active(function: Properties) -> None:
    assert function["TracingConfig"] == {"Mode": "Active"}


def test_the_xray_sdk_is_not_used() -> None:
    # It is in maintenance until 2027-02, and its import takes 147 ms. Lambda and PutEvents' TraceHeader replace it.
    locked = (ROOT / "layers/dependencies/requirements.txt").read_text()
    assert re.search("^pydantic==", locked, re.MULTILINE)
    assert not re.search("xray", locked, re.IGNORECASE)
    files = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers/handoff").rglob("*.py")]
    assert not [file for file in files if re.search(r"aws_xray_sdk|import Tracer|\bTracer\(", file.read_text())]


MAY_BE_EMPTY = {"SHIPS_TO", "STRIPE_SECRET_ID", "PARTNER_LOCAL_CA", "SELLER_NAME", "SELLER_ADDRESS", "TERMS_URL"}


def test_every_variable_that_the_code_reads_is_set(template: Template) -> None:
    for name, function in template.functions().items():
        read, given = function_source.settings_of(name), variables_of(function)
        assert read.keys() >= {"ORDERS_TABLE", "BUS_NAME"}
        assert read.keys() <= given.keys()
        assert all(given[variable] != "" for variable in read.keys() - MAY_BE_EMPTY)


def test_functions_get_the_name_of_stripes_secret_and_not_the_key() -> None:
    functions = template_with(**WITH_STRIPE).functions()
    for name in ("orders", "settlement", "sweeper"):
        variables = variables_of(functions[name])
        assert variables["STRIPE_SECRET_ID"] == WITH_STRIPE["StripeSecret"]
        assert variables["STRIPE_API_BASE"] == "https://api.stripe.com"


def test_stripe_without_its_secret_is_rejected_before_deployment() -> None:
    rule = source()["Rules"]["StripeIsComplete"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "PaymentProvider"}, "stripe"]}
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": "StripeSecret"}, ""]}]} in [one["Assert"] for one in rule["Assertions"]]


def test_stripe_is_rejected_for_currencies_with_other_minor_units() -> None:
    # GIVEN https://docs.stripe.com/currencies
    (refused,) = (
        listed
        for assertion in source()["Rules"]["StripeIsComplete"]["Assertions"]
        for condition in assertion["Assert"]["Fn::Not"]
        for listed, _ in [condition.get("Fn::Contains", (None, None))]
        if listed
    )
    # THEN the list has those with two decimals at Stripe and none in ISO 4217, and all with three decimals
    assert {"ISK", "UGX"} <= set(refused)
    assert {currency for currency in money._DECIMALS if money.decimals(currency) == 3} <= set(refused)
    assert not {"EUR", "USD", "GBP", "JPY", "KRW"} & set(refused)


def test_an_issuer_without_an_audience_is_rejected_before_deployment() -> None:
    rule = source()["Rules"]["IssuerIsComplete"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}]}
    (assertion,) = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "JwtAudience"}, ""]}]}
    assert "JwtAudience" in assertion["AssertDescription"]


@pytest.mark.parametrize(("parameter", "value"), [("PaymentProvider", "cash"), ("StripeSecret", "sk_live_pasted")])
def test_an_invalid_parameter_is_rejected(parameter: str, value: str) -> None:
    declared = source()["Parameters"][parameter]
    assert not re.fullmatch(declared["AllowedPattern"], value)
    assert re.fullmatch(declared["AllowedPattern"], WITH_STRIPE[parameter])
    assert re.fullmatch(declared["AllowedPattern"], declared["Default"])


MAY_BE_ZERO = {"ORDER_DAYS"}  # by default orders are kept


def test_every_numeric_variable_is_positive(template: Template) -> None:
    numbers = [
        float(variables_of(function)[variable])
        for name, function in template.functions().items()
        for variable, is_number in function_source.settings_of(name).items()
        if is_number and variable not in MAY_BE_ZERO
    ]
    assert len(numbers) >= len(template.functions())
    assert min(numbers) > 0


def test_no_variable_is_set_that_no_code_reads(template: Template) -> None:
    for name, function in template.functions().items():
        libraries = ("POWERTOOLS_", "PYDANTIC_")
        ours = {variable for variable in variables_of(function) if not variable.startswith(libraries)}
        # Every function sets BOTOCORE_DATA. It may be missing, so handoff.sdk_data reads it without handoff.settings.
        assert ours == {*function_source.settings_of(name), "BOTOCORE_DATA"}


def test_all_functions_of_a_stack_are_one_powertools_service(template: Template) -> None:
    named_so = {
        (variables["POWERTOOLS_SERVICE_NAME"], variables["POWERTOOLS_METRICS_NAMESPACE"])
        for variables in map(variables_of, template.functions().values())
    }
    assert named_so == {("${AWS::StackName}", "Handoff")}


def test_every_function_has_its_own_log_group(template: Template) -> None:
    groups = [logical_id(function["LoggingConfig"]["LogGroup"]) for function in template.functions().values()]
    assert len(set(groups)) == len(groups)
    assert set(groups) <= template.of_type("AWS::Logs::LogGroup").keys()


def test_log_groups_have_a_retention(template: Template) -> None:
    for name, group in template.of_type("AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"] == (365 if name == "AuditLog" else template.parameters["LogDays"]) > 0


def test_the_sweeper_runs_each_minute_and_is_not_retried(template: Template) -> None:
    # GIVEN the only schedule, which invokes the sweeper
    (schedule,) = template.of_type("AWS::Scheduler::Schedule").values()
    assert schedule["Target"]["Arn"] == "${SweeperFunction.Arn}"
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    # THEN neither the scheduler nor Lambda retries; the next run is the retry
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    (invoking,) = template.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert invoking["FunctionName"] == "${SweeperFunction}"
    assert invoking["MaximumRetryAttempts"] == 0


def test_throttled_runs_of_the_sweeper_do_not_accumulate(template: Template) -> None:
    # GIVEN that Lambda keeps a throttled asynchronous event for six hours unless told otherwise, and for 60 s at least
    (schedule,) = template.of_type("AWS::Scheduler::Schedule").values()
    (invoking,) = template.of_type("AWS::Lambda::EventInvokeConfig").values()
    # THEN it discards one before the second next run
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert invoking["MaximumEventAgeInSeconds"] == 60
    # AND nothing else about it applies to versions or aliases only, which the schedule does not invoke
    assert invoking["Qualifier"] == "$LATEST"


def test_no_other_function_is_invoked_asynchronously(template: Template) -> None:
    """API Gateway and event source mappings wait for the function; schedules, rules and topics do not."""
    # GIVEN the targets of everything that invokes asynchronously
    targets = {target["Arn"] for rule in template.of_type("AWS::Events::Rule").values() for target in rule["Targets"]}
    assert not {arn for arn in targets if "Function" in arn}
    assert [one for one in template.resources.values() if one["Type"] == "AWS::SNS::Subscription"] == []
    # AND who may invoke by resource policy
    (permission,) = template.of_type("AWS::Lambda::Permission").values()
    assert permission["Principal"] == "apigateway.amazonaws.com"


def test_two_stacks_fit_into_one_account(template: Template) -> None:
    # GIVEN the names that must be unique in an account; stacks with the same layer would publish versions of it in turn
    unique = {
        "AWS::Scheduler::Schedule": "Name",
        "AWS::Events::EventBus": "Name",
        "AWS::Events::Rule": "Name",
        "AWS::IAM::Role": "RoleName",
        "AWS::Lambda::Function": "FunctionName",
        "AWS::Lambda::LayerVersion": "LayerName",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::Logs::QueryDefinition": "Name",
        "AWS::Events::Archive": "ArchiveName",
        "AWS::SQS::Queue": "QueueName",
        "AWS::SNS::Topic": "TopicName",
        "AWS::CloudWatch::Alarm": "AlarmName",
    }
    # THEN CloudFormation chooses the name, or it contains the stack's name
    for kind, attribute in unique.items():
        for name, properties in template.of_type(kind).items():
            assert "${AWS::StackName}" in properties.get(attribute, "${AWS::StackName}"), name
