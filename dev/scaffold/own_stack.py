"""A consumer in a stack of its own, which imports the bus and uses the layers of a Handoff stack."""

from dev.scaffold.edits import Edits, filled
from dev.scaffold.request import ConsumerRequest

GENERATORS: tuple[str, ...] = ()
GENERATED: tuple[str, ...] = ()
NEW = ("examples/{name}", "tests/examples/test_{name}.py")
NEXT = """\
Your business: the function `effect` in examples/{name}/{name}/{name}.py, and its test tests/examples/test_{name}.py.
Check it:      make lint, then .venv/bin/pytest tests/examples
Deploy it:     sam build --template-file examples/{name}/template.yaml --build-dir .aws-sam/{name}
               sam deploy --template-file .aws-sam/{name}/template.yaml --stack-name {name} --resolve-s3 \\
                 --capabilities CAPABILITY_IAM --parameter-overrides "HandoffStack=handoff-prod \\
                 HandoffLayerArn=ARN DependenciesLayerArn=ARN"   (the outputs of the Handoff stack)
See it:        handoff lag --stack handoff-prod lists it as {name}/{name}"""


def add(request: ConsumerRequest, edits: Edits) -> None:
    """Add the stack's files, and its line in the lists of checked code and templates."""
    name, words = request.name, request.words
    folder = f"examples/{name}"
    edits.create(f"{folder}/template.yaml", filled("own_template.yaml.txt", words))
    edits.create(f"{folder}/{name}/{name}.py", filled("own_function.py.txt", words))
    edits.create(f"tests/examples/test_{name}.py", filled("own_test.py.txt", words))
    edits.after("pyproject.toml", '"examples/loyalty/points",', lambda _: f'    "{folder}/{name}",\n')
    edits.after(".checkov.yaml", "- examples/loyalty/template.yaml", lambda _: f"  - {folder}/template.yaml\n")
