"""The rules of the lease, on clocks that a test moves."""

from __future__ import annotations

from comfymesh.scheduler.domain.candidacy import MARGIN, Candidacy, Look, Take, Terms, Wait

TERMS = Terms(ttl=2.0, interval=0.5)


def candidacy(holder: str = "a") -> Candidacy:
    return Candidacy(holder, TERMS)


def holding(sent: float = 10.0, sequence: int = 1) -> Candidacy:
    made = candidacy()
    made.saw(sequence - 1, "", sent)
    made.took(sequence, sent)
    return made


def test_it_looks_before_it_does_anything() -> None:
    assert candidacy().next(0.0) == Look()
    assert not candidacy().leads(0.0)


def test_a_lease_that_nobody_holds_is_taken_at_once() -> None:
    made = candidacy()
    made.saw(0, "", 10.0)
    assert made.next(10.0) == Take(0)
    made.saw(7, "", 11.0)
    assert made.next(11.0) == Take(7)


def test_it_leads_from_the_confirmation_on_and_counts_from_the_sending() -> None:
    made = candidacy()
    made.saw(0, "", 10.0)
    assert not made.leads(10.0)
    made.took(1, sent=10.0)
    assert made.leads(10.0 + TERMS.ttl * MARGIN - 0.01)
    assert not made.leads(10.0 + TERMS.ttl * MARGIN)


def test_a_confirmation_that_comes_too_late_makes_nobody_lead() -> None:
    assert not holding(sent=10.0).leads(12.0)


def test_it_renews_after_the_interval() -> None:
    made = holding(sent=10.0)
    assert made.next(10.1) == Wait(10.5)
    assert made.next(10.5) == Take(1)
    made.took(2, sent=10.5)
    assert made.next(10.5) == Wait(11.0)


def test_who_stands_by_looks_often_and_takes_over_only_what_has_not_changed_for_the_whole_time() -> None:
    made = candidacy("b")
    made.saw(1, "a", 10.0)
    assert made.next(10.0) == Wait(10.5)
    assert made.next(10.5) == Look()
    made.saw(2, "a", 10.6)
    made.saw(2, "a", 12.4)
    assert made.next(12.5) == Wait(12.6)
    assert made.next(12.6) == Take(2)


def test_a_refusal_ends_the_lead_at_once_and_it_looks_again() -> None:
    made = holding(sent=10.0)
    made.refused()
    assert not made.leads(10.1)
    assert made.next(10.1) == Look()


def test_another_holder_ends_the_lead_at_once() -> None:
    made = holding(sent=10.0)
    made.saw(2, "b", 10.2)
    assert not made.leads(10.2)


def test_an_answer_that_is_missing_leaves_what_was_confirmed_and_it_looks_again() -> None:
    made = holding(sent=10.0)
    made.unsure()
    assert made.leads(10.6)
    assert made.next(10.6) == Look()


def test_a_renewal_whose_answer_was_lost_gives_no_time_but_is_built_upon() -> None:
    made = holding(sent=10.0)
    made.unsure()
    made.saw(2, "a", 11.0)
    assert made.leads(11.4)
    assert not made.leads(11.5)
    assert made.next(11.0) == Take(2)
    made.took(3, sent=11.0)
    assert made.leads(12.4)


def test_a_take_over_whose_answer_was_lost_and_that_was_not_stored_is_tried_again_at_once() -> None:
    made = candidacy("b")
    made.saw(1, "a", 10.0)
    assert made.next(12.0) == Take(1)
    made.unsure()
    made.saw(1, "a", 12.1)
    assert made.next(12.1) == Take(1)
