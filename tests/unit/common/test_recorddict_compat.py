from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common import recorddict_compat as compat
from flwr.common.typing import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Scalar,
    Status,
)

scalars: st.SearchStrategy[Scalar] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
configs = st.dictionaries(st.text(), scalars)
parameters = st.builds(Parameters, st.lists(st.binary()), st.sampled_from(["numpy.ndarray", "x"]))
statuses = st.builds(Status, st.sampled_from(Code), st.text())
counts = st.integers(0, 2**62)


@given(st.builds(FitIns, parameters, configs))
def test_fit_instructions_come_back_equal(ins: FitIns) -> None:
    content = compat.fitins_to_recorddict(ins, keep_input=True)
    assert list(content) == ["fitins.parameters", "fitins.config"]
    assert compat.recorddict_to_fitins(content, keep_input=True) == ins


@given(st.builds(FitRes, statuses, parameters, counts, configs))
def test_fit_answers_come_back_equal(res: FitRes) -> None:
    content = compat.fitres_to_recorddict(res, keep_input=True)
    assert compat.recorddict_to_fitres(content, keep_input=True) == res


@given(st.builds(EvaluateIns, parameters, configs))
def test_evaluate_instructions_come_back_equal(ins: EvaluateIns) -> None:
    content = compat.evaluateins_to_recorddict(ins, keep_input=True)
    assert compat.recorddict_to_evaluateins(content, keep_input=True) == ins


@given(st.builds(EvaluateRes, statuses, st.floats(allow_nan=False), counts, configs))
def test_evaluate_answers_come_back_equal(res: EvaluateRes) -> None:
    content = compat.evaluateres_to_recorddict(res)
    assert compat.recorddict_to_evaluateres(content) == res


@given(configs, statuses, parameters)
def test_questions_for_parameters_and_properties_come_back_equal(
    config: dict[str, Scalar], status: Status, model: Parameters
) -> None:
    asked = GetParametersIns(config), GetPropertiesIns(config)
    told = GetParametersRes(status, model), GetPropertiesRes(status, config)

    back: tuple[Any, ...] = (
        compat.recorddict_to_getparametersins(compat.getparametersins_to_recorddict(asked[0])),
        compat.recorddict_to_getpropertiesins(compat.getpropertiesins_to_recorddict(asked[1])),
        compat.recorddict_to_getparametersres(
            compat.getparametersres_to_recorddict(told[0], keep_input=True), keep_input=True
        ),
        compat.recorddict_to_getpropertiesres(compat.getpropertiesres_to_recorddict(told[1])),
    )

    assert back == (*asked, *told)


def test_a_fit_answer_has_upstreams_layout() -> None:
    answer = FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "no"), Parameters([b"a"], "t"), 4, {"k": 1})

    content = compat.fitres_to_recorddict(answer, keep_input=True)

    wanted = RecordDict(
        {
            "fitres.metrics": ConfigRecord({"k": 1}),
            "fitres.num_examples": MetricRecord({"num_examples": 4}),
            "fitres.parameters": ArrayRecord({"0": Array("", (), "t", b"a")}),
            "fitres.status": ConfigRecord({"code": 3, "message": "no"}),
        }
    )
    assert content == wanted
    assert list(content) == list(wanted)


def test_a_model_without_tensors_keeps_its_type() -> None:
    record = compat.parameters_to_arrayrecord(Parameters([], "numpy.ndarray"), keep_input=False)

    assert record == {"_empty": Array("", (), "numpy.ndarray", b"")}
    empty = compat.arrayrecord_to_parameters(record, keep_input=False)
    assert empty == Parameters([], "numpy.ndarray")
    assert compat.arrayrecord_to_parameters(ArrayRecord(), keep_input=True) == Parameters([], "")


def test_inputs_are_emptied_on_demand() -> None:
    model = Parameters([b"1", b"2"], "t")

    record = compat.parameters_to_arrayrecord(model, keep_input=False)
    assert model == Parameters([], "t")

    assert compat.arrayrecord_to_parameters(record, keep_input=False).tensors == [b"1", b"2"]
    assert not record


def test_missing_records_and_lists_are_refused() -> None:
    with pytest.raises(KeyError, match=r"fitins\.parameters"):
        compat.recorddict_to_fitins(RecordDict(), keep_input=True)
    listed = RecordDict({"getpropertiesins.config": ConfigRecord({"a": [1]})})
    with pytest.raises(TypeError, match=r"'a' in getpropertiesins\.config is a list"):
        compat.recorddict_to_getpropertiesins(listed)
