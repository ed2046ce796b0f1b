# The README's commands. `just` lists them; each also runs as it stands here.

default: lint test

# install with the test tools, and run every test that needs no weights
test:
    pip install -c constraints.txt -e '.[test]' && pytest

# the tests with the embedded weights (pulls them)
test-weights:
    promptpredict models pull smollm2-135m
    promptpredict models pull minilm
    pytest -m weights -n 0

lint:
    ruff format --check .
    ruff check .
    mypy

demo:
    pip install -c constraints.txt -e . && promptpredict demo

# rewrite the synthetic sample
sample:
    python benchmarks/make_sample.py

# the comparison on the real tables; DATA.md says where they come from
tables data:
    python benchmarks/tables.py --data {{data}}
