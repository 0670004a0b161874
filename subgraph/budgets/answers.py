"""Answers as the release table keeps them: JSON, from which the same answer is read again."""

import json
from decimal import Decimal

from subgraph.budgets.drawing import Answer, Cell
from subgraph.budgets.epsilon import format_epsilon
from subgraph.budgets.model import DpMechanism


def write_answer(answer: Answer) -> str:
    """The text of an answer; floats are in their shortest form, which reads as the same float."""
    return json.dumps(
        {
            "value": answer.value,
            "cells": [[cell.key, cell.value] for cell in answer.cells],
            "epsilon": format_epsilon(answer.epsilon),
            "mechanism": answer.mechanism.value,
            "scales": list(answer.scales),
            "bound95": answer.bound95,
        },
        separators=(",", ":"),
        allow_nan=False,
    )


def read_answer(text: str) -> Answer:
    """The answer that `write_answer` wrote."""
    told = json.loads(text)
    return Answer(
        value=told["value"],
        cells=tuple(Cell(key, value) for key, value in told["cells"]),
        epsilon=Decimal(told["epsilon"]),
        mechanism=DpMechanism(told["mechanism"]),
        scales=tuple(told["scales"]),
        bound95=told["bound95"],
    )
