"""openapi.json: it is generated from the code and has the routes of the template and of the function."""

import ast
import inspect
import json

import pytest
from openapi_spec_validator import validate

import error_problems
import order_requests
import problems
from dev.contracts import files as contracts
from dev.contracts import openapi, openapi_problems
from dev.template import template_with
from routes import OPERATIONS
from shop import errors

ROUTES = {route["RouteKey"]: route for route in template_with().of_type("AWS::ApiGatewayV2::Route").values()}
DOCUMENT = json.loads(openapi.FILE.read_text(encoding="utf-8"))
DESCRIBED = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


@pytest.mark.parametrize("file", contracts.documents(), ids=lambda file: file.name)
def test_the_committed_contracts_equal_the_generated_ones(file):
    assert file.read_text(encoding="utf-8") == contracts.documents()[file], "run make contracts"


def test_no_other_schemas_are_committed():
    assert set(contracts.EVENTS.glob("*.json")) < contracts.documents().keys()


def test_the_document_is_valid_openapi():
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_the_document_has_the_routes_of_the_template():
    assert DESCRIBED.keys() | {"$default"} == ROUTES.keys()


def test_every_operation_has_a_summary_and_a_description():
    for operation in DESCRIBED.values():
        assert operation["summary"]
        assert operation["description"].endswith(".")


@pytest.mark.parametrize("route", DESCRIBED)
def test_the_document_requires_the_same_tokens_as_the_template(route):
    asked = ROUTES[route]
    scopes = [OPERATIONS[route].scope] if "AuthorizationScopes" in asked else []
    expected = [{"token": scopes}] if asked["AuthorizationType"] == "JWT" else []

    assert DESCRIBED[route].get("security", []) == expected
    assert ("401" in DESCRIBED[route]["responses"]) == bool(expected)


def test_the_document_describes_every_problem():
    # GIVEN the problems that are constructed in the source
    sources = "\n".join(inspect.getsource(module) for module in (problems, error_problems))
    calls = [node for node in ast.walk(ast.parse(sources)) if isinstance(node, ast.Call)]
    made = {
        (call.args[0].value, call.args[1].value)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "Problem"
    }
    assert len(made) > 25
    # THEN they are those of the document, and each has a schema
    assert {(problem.status, problem.name) for problem in openapi_problems.EXAMPLES} == made
    assert len(openapi_problems.BY_NAME) == len(openapi_problems.EXAMPLES)
    assert {openapi_problems.component(problem) for problem in openapi_problems.EXAMPLES} <= DOCUMENT["components"][
        "schemas"
    ].keys()


def test_every_problem_is_a_response_of_some_operation():
    text = json.dumps(DOCUMENT["paths"])
    unused = {
        problem.name for problem in openapi_problems.EXAMPLES if f'/{openapi_problems.component(problem)}"' not in text
    }

    assert unused == {"wrong-method"}  # it belongs to no operation


def test_every_domain_error_has_a_described_problem():
    named = {error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, Exception)}
    texts = inspect.getsource(openapi_problems)

    # Products that are not on sale and addresses that nothing is shipped to are invalid requests.
    invalid = {"AddressRefused", "UnknownProducts", "NoSuchOrder"}
    expected = {error.__name__ for error in named if not error.__subclasses__()} - invalid
    assert [name for name in expected if f"errors.{name}(" not in texts] == []


def test_the_responses_of_api_gateway_are_described():
    for route, operation in DESCRIBED.items():
        by_gateway = {
            status for status, answer in operation["responses"].items() if "application/json" in answer["content"]
        }
        secured = {"401"} if "security" in operation else set()
        scoped = {"403"} if OPERATIONS[route].scope else set()
        bodied = {"413"} if "requestBody" in operation else set()
        assert {status for status in by_gateway if status > "299"} == {"429", "500", "503"} | secured | scoped | bodied


def test_the_example_requests_are_valid():
    examples = DESCRIBED["POST /orders"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) == 5
    for example in examples.values():
        assert order_requests.OrderIn.model_validate_json(json.dumps(example["value"]))
