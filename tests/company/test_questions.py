from __future__ import annotations

from crm_methods.company.questions import QUESTIONS
from crm_methods.company.vocabulary import STAGES


def test_every_question_belongs_to_a_stage_and_ends_as_one():
    for key, question in QUESTIONS.items():
        assert question.key == key
        assert question.stage in STAGES
        assert question.text.endswith("?")


def test_no_question_is_asked_twice_and_every_stage_asks():
    texts = [question.text for question in QUESTIONS.values()]
    assert len(set(texts)) == len(texts)
    assert {question.stage for question in QUESTIONS.values() if not question.planned} == set(STAGES)
