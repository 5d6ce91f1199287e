"""The semantics of HOCL: multisets, reactions, inert solutions, rules as atoms, equality and copies."""

import pytest
from hocl_runs import outcomes_by_seed, outcomes_in_all_orders, run_program, run_text

from umwelt.agents.hocl.machine import Dice, Limits, Machine, Reaction
from umwelt.agents.hocl.parser import parse
from umwelt.agents.hocl.terms import Rule, Solution, text
from umwelt.sandbox.dice import below, draw
from umwelt.sandbox.errors import ProgramError

ADD = "let add = replace x::int, y::int by x + y in"


def outcomes(source: str) -> set[str]:
    """Returns all outcomes of a program by exploring every order; checks that runs with some seeds are among them."""
    program = parse(source, "here")
    found = outcomes_in_all_orders(program)
    assert outcomes_by_seed(program, range(12)) <= found
    return found


# 1. multisets, and rules among the atoms


def test_solutions_are_unordered_and_count_each_atom():
    assert run_text("<3, 1, 2, 1>") == "<1, 1, 2, 3>"
    assert parse("<<1, 2>, 2:1>", "").start == parse("<2:1, <2, 1>>", "").start
    assert parse("<1, 1>", "").start != parse("<1>", "").start


def test_one_and_one_as_float_and_true_are_three_atoms():
    assert run_text('<1, 1.0, true, "1">') == '<true, 1, 1.0, "1">'
    assert outcomes("let one = replace 1, ?w by w in <one, 1.0, true, 1>") == {"<true, 1.0, one>"}


def test_a_rest_pattern_matches_rules_too():
    assert outcomes(f"{ADD} let open = replace-one <0, ?w> by w in <open, <0, add>, 2, 3>") == {"<5, add>"}


def test_the_canonical_order_is_plain_atoms_first_and_rules_by_their_names():
    given = 'let b = replace 1, 2, 3, 4 by 1 in let a = replace 7, 7 by 1 in <b, a, <1>, 2:1, "t", 0.5, -4, 10, true>'
    assert run_text(given) == '<true, -4, 10, 0.5, "t", 2:1, <1>, a, b>'


# 2. reactions


def test_a_reaction_takes_distinct_atoms():
    assert outcomes("let two = replace-one 1, 1 by 2 in <two, 1>") == {"<1, two>"}
    assert outcomes("let two = replace-one 1, 1 by 2 in <two, 1, 1>") == {"<2>"}
    assert outcomes("let pair = replace x::rule, y::rule by 1 in <pair>") == {"<pair>"}


def test_a_rule_does_not_take_itself_but_may_take_its_twin():
    assert outcomes("let eat = replace x::rule by 1 in <eat>") == {"<eat>"}
    assert outcomes("let eat = replace x::rule by 1 in <eat, eat>") == {"<1, eat>"}


def test_replace_stays_and_replace_one_is_used_up():
    assert outcomes("let up = replace 1 by 2 in <up, 1, 1, 1>") == {"<2, 2, 2, up>"}
    assert outcomes("let up = replace-one 1 by 2 in <up, 1, 1, 1>") == {"<1, 1, 2>"}
    assert outcomes("let up = replace-one 1 by 2 in <up, up, 1, 1, 1>") == {"<1, 2, 2>"}


def test_a_condition_belongs_to_the_nearest_replace():
    inner = parse("let make = replace-one 0 by r = replace-one x::int by 9 if x > 5 in <make, 0, 1>", "")
    assert outcomes_in_all_orders(inner) == {"<1, r>"}
    outer = parse("let make = replace-one y::int by (r = replace-one x::int by 9) if y > 5 in <make, 1>", "")
    assert outcomes_in_all_orders(outer) == {"<1, make>"}


def test_commas_belong_to_the_nearest_by():
    assert outcomes("<replace-one 0 by 1, 0>") == {"<(replace-one 0 by 1, 0)>"}
    assert outcomes("<(replace-one 0 by 1), 0>") == {"<1>"}


def test_conditions_stop_at_the_first_that_does_not_hold():
    assert outcomes("let r = replace x::int, y::int by x if x != 0 && y % x == 0 in <r, 0, 3>") == {"<3, r>"}
    assert outcomes("let r = replace-one x::int by 5 if x == 0 || 4 / x == 2 in <r, 0>") == {"<5>"}


def test_integers_are_exact_and_division_goes_towards_zero():
    assert run_text("<-7 / 2, -7 % 2, 7 / -2, 7 % -2, 7.0 / 2, 7 / 2.0>") == "<-3, -3, -1, 1, 3.5, 3.5>"
    assert run_text("<123456789123456789123456789 * 10 + 1 - 2>") == "<1234567891234567891234567889>"
    assert run_text('<"a" + "b", 1 + 2 * 3, (1 + 2) * 3, !true || 1 < 2 && "a" < "b", -(2 - 5)>') == (
        '<true, 3, 7, 9, "ab">'
    )


# 3. solutions within solutions


def test_a_pattern_takes_a_solution_only_when_it_is_inert_and_all_of_it():
    sums = f"{ADD} let out = replace-one <x::int, add=a> by x in <out, <add, 1, 2, 3>>"
    assert outcomes(sums) == {"<6>"}
    assert outcomes("let out = replace-one <x::int> by x in <out, <1, 2>>") == {"<<1, 2>, out>"}
    assert outcomes("let out = replace-one <x::int, ?w> by x, w in <out, <7>>") == {"<7>"}
    assert outcomes("let out = replace-one <> by 1 in <out, <>>") == {"<1>"}
    assert outcomes("let out = replace-one <> by 1 in <out, <0>>") == {"<<0>, out>"}


def test_any_atom_of_a_solution_may_be_taken():
    first = 'let first = replace-one "of":<x::int, ?w> by x, <w> in <first, "of":<1, 2, 3>>'
    assert outcomes(first) == {"<1, <2, 3>>", "<2, <1, 3>>", "<3, <1, 2>>"}
    assert outcomes_by_seed(parse(first, ""), range(60)) == outcomes(first)


def test_inner_solutions_that_may_end_in_several_ways_do():
    assert outcomes("let one = replace-one x::int, y::int by x in <<one, 1, 2>, <one, 3, 4>>") == {
        "<<1>, <3>>",
        "<<1>, <4>>",
        "<<2>, <3>>",
        "<<2>, <4>>",
    }


def test_a_solution_within_a_tuple_within_a_solution_becomes_inert():
    assert outcomes(f'{ADD} <"a":("b":<add, 1, 2, <add, 3, 4>>)>') == {'<"a":("b":<3, <7, add>, add>)>'}


def test_a_rule_does_not_reach_into_or_out_of_a_solution():
    assert outcomes(f"{ADD} <add, 1, <2, 3>>") == {"<1, <2, 3>, add>"}
    assert outcomes(f"{ADD} <1, 2, <add, 3>>") == {"<1, 2, <3, add>>"}


def test_a_rest_at_the_top_of_a_rule_takes_all_others():
    assert outcomes("let pack = replace-one 0, ?w by <w> in <pack, 0, 1, 2>") == {"<<1, 2>>"}
    assert outcomes("let pack = replace-one ?w by <w> in <pack>") == {"<<>>"}
    assert outcomes("let never = replace ?w by w if 1 > 2 in <never, 1>") == {"<1, never>"}


# 4. inert, and started again


def test_dropping_an_atom_in_starts_it_again():
    machine = Machine(parse("let max = replace x::int, y::int by x if x >= y in <max, 2, 9>", "here"), Dice(1))
    machine.react()
    assert text(machine.solution) == "<9, max>" and machine.solution.inert and machine.reactions == 1
    machine.drop(12)
    assert not machine.solution.inert
    machine.react()
    assert text(machine.solution) == "<12, max>" and machine.reactions == 2


def test_a_dropped_rule_reacts_with_the_atoms_that_are_there():
    program = parse(f"{ADD} <1, 2, 4>", "here")
    assert run_program(program) == "<1, 2, 4>"
    assert run_program(program, drops=[program.atom("add", "--drop")]) == "<7, add>"
    assert run_program(program, drops=[program.atom("<add, 1 + 1, 5>", "--drop")]) == "<1, 2, 4, <7, add>>"


def test_drops_are_explored_one_after_another():
    program = parse("let one = replace x::int, y::int by x in <one, 1>", "here")
    assert outcomes_in_all_orders(program, [2, 3]) == {"<1, one>", "<2, one>", "<3, one>"}


# 5. rules that create and match rules


def test_a_rule_is_caught_by_its_name_or_as_any_rule():
    assert outcomes(f"{ADD} let off = replace-one add=a by 0 in <off, add>") == {"<0>"}
    assert outcomes(f"{ADD} let off = replace-one sub=a by 0 in <off, add>") == {"<add, off>"}
    assert outcomes(f'{ADD} let off = replace-one "r":r::rule by r, r in <off, "r":add>') == {"<add, add>"}


def test_a_created_rule_keeps_the_values_of_its_variables():
    made = "let make = replace-one n::int by (times = replace-one x::float by x * n) in <make, 3>"
    program = parse(made, "here")
    assert run_program(program) == "<times>"
    assert run_program(program, drops=[2.0]) == "<6.0>"


def test_a_rule_may_make_itself_again():
    down = "let rec down = replace-one n::int by n - 1, down if n > 0 in <down, 3>"
    assert outcomes(down) == {"<0, down>"}
    grow = "let rec grow = replace-one n::int by <grow, n - 1> if n > 0 in <grow, 2>"
    assert outcomes(grow) == {"<<<0, grow>>>"}


def test_let_names_rules_among_products():
    nested = (
        "let make = replace-one n::int by"
        " let rec down = replace-one m::int by m - n, down if m >= n in"
        " let twice = replace-one 0 by 0, 0 in down, twice"
        " in <make, 3>"
    )
    assert run_program(parse(nested, "here")) == "<down, twice>"
    assert run_program(parse(nested, "here"), drops=[9]) == "<0, 0, down>"


def test_an_inner_variable_hides_an_outer_one():
    hidden = "let make = replace-one x::int by (r = replace-one x::string by x) in <make, 1>"
    program = parse(hidden, "here")
    assert run_program(program, drops=["a"]) == '<"a">'


# 6. equality and copies


def test_the_same_variable_twice_means_equality():
    same = "let same = replace x::int, x::int by x in"
    assert outcomes(f"{same} <same, 1, 2, 1, 3, 2>") == {"<1, 2, 3, same>"}
    assert outcomes("let same = replace x::int:x::int by x in <same, 1:1, 1:2>") == {"<1, 1:2, same>"}
    assert outcomes("let same = replace s::solution, s::solution by s in <same, <1, 2>, <2, 1>, <1>>") == {
        "<<1>, <1, 2>, same>"
    }
    assert outcomes('let same = replace a::int:"x", <a::int, ?w> by a in <same, 2:"x", 3:"x", <3, 1>>') == {
        '<3, 2:"x", same>'
    }


def test_copies_are_deep():
    copy = f"{ADD} let copy = replace-one s::solution by s, s in"
    copy = f"{copy} let feed = replace-one <add=a, x::int> by <a, x, 10> in"
    assert outcomes(f"{copy} <copy, feed, <add, 1, 2>>") >= {"<<3, add>, <13, add>>"}
    assert outcomes(f"{copy} <copy, <add, 1, 2>>") == {"<<3, add>, <3, add>>"}


def test_a_rest_may_be_copied():
    assert outcomes("let twice = replace-one <?w> by <w>, <w, w> in <twice, <1, 2>>") == {"<<1, 1, 2, 2>, <1, 2>>"}


# dice, limits, and the interface for other modules


def test_dice_are_the_keyed_draws_in_their_order():
    from umwelt.agents.hocl.machine import CHOICE

    dice = Dice(7, tick=3, key=11)
    for index in range(150):
        assert dice(5 + index) == below(draw(7, 3, 11, CHOICE, index), 5 + index)


def test_any_function_that_chooses_can_replace_the_dice():
    program = parse("let one = replace-one x::int, y::int by x in <one, 1, 2>", "here")
    for choose in (lambda limit: 0, lambda limit: limit - 1):
        machine = Machine(program, choose)
        machine.react()
        assert text(machine.solution) in ("<1>", "<2>")


def test_each_combination_is_tested_once():
    count = 60
    never = f"let never = replace x::int, y::int by x if x + y < 0 in <never, {', '.join(map(str, range(count)))}>"
    machine = Machine(parse(never, "here"), Dice(1))
    machine.react()
    pairs = count * (count - 1)
    assert pairs <= machine.tries <= pairs + 5 * count
    before = machine.tries
    machine.drop(1000)
    machine.react()
    assert machine.tries - before <= 2 * count + 5


def test_equal_variables_are_looked_up_and_not_tried():
    count = 200
    atoms = ", ".join(f'"a":{i}, "b":{i}:{i * i}' for i in range(count))
    joined = f'let join = replace "a":i::int, "b":i::int:v::int by i:v in <join, {atoms}>'
    machine = Machine(parse(joined, "here"), Dice(1))
    machine.react()
    assert machine.reactions == count
    assert machine.tries < 10 * count  # of 40,000 pairs


def test_after_a_limit_the_solution_is_as_it_was_before_the_next_reaction():
    program = parse("let up = replace x::int by x + 1 in <up, 0>", "here")
    machine = Machine(program, Dice(1), Limits(reactions=25))
    with pytest.raises(ProgramError, match=r"^here: not inert after 25 reactions: "):
        machine.react()
    assert text(machine.solution) == "<25, up>"


def test_after_an_error_nothing_that_can_react_is_forgotten():
    numbers = ", ".join(map(str, range(60)))
    for seed in range(5):
        program = parse(f"let find = replace-one x::int, y::int by x if x - y == 59 in <find, {numbers}>", "here")
        machine = Machine(program, Dice(seed), Limits(reactions=0))
        for _ in range(2):
            with pytest.raises(ProgramError, match="not inert after 0 reactions"):
                machine.react()
        machine.limits = Limits()
        machine.react()
        assert machine.reactions == 1 and sorted(machine.solution.atoms) == list(range(1, 60))
        program = parse("let part = replace-one x::int:y::int by x / y in <part, 4:0>", "here")
        machine = Machine(program, Dice(seed))
        for _ in range(3):
            with pytest.raises(ProgramError, match="4 / 0 has no value"):
                machine.react()
        assert text(machine.solution) == "<4:0, part>"


def test_an_observer_is_called_for_each_reaction():
    seen: list[Reaction] = []
    machine = Machine(parse(f"{ADD} <<add, 1, 2>>", "here"), Dice(1), on_reaction=seen.append)
    machine.react()
    assert [(one.rule.name, sorted(one.taken), one.made, one.depth) for one in seen] == [("add", [1, 2], [3], 1)]


def test_the_integers_of_rules_are_listed_and_replaced():
    source = (
        "let a = replace x::int, -3 by x + 1:(r = replace 5 by -6), 2.0 if x < 40 in "
        'let b = replace "n":7 by 8 in <a, b, 100, 41 + 1, c = replace 9 by 10>'
    )
    program = parse(source, "here")
    assert program.integers == (-3, 1, 5, -6, 40, 7, 8, 9, 10)
    doubled = program.with_integers(tuple(2 * n for n in program.integers))
    assert doubled.integers == (-6, 2, 10, -12, 80, 14, 16, 18, 20)
    assert doubled.with_integers(program.integers) == program
    assert "<a, b, 100, 41 + 1, " in str(doubled)
    with pytest.raises(ProgramError, match="here: 1 integers for its rules: give 9"):
        program.with_integers((1,))


def test_other_integers_in_its_rules_make_another_program():
    program = parse("let r = replace-one x::int by x * 2 + 1 if x > 4 in <r>", "here")
    assert run_program(program, drops=[10]) == "<21>"
    assert run_program(program.with_integers((-3, 5, -20)), drops=[10]) == "<-25>"
    assert run_program(program.with_integers((3, 5, 20)), drops=[10]) == "<10, r>"


def test_rules_are_equal_if_they_read_the_same_and_took_the_same():
    def made(number: int) -> Rule:
        source = "let make = replace-one n::int by (add = replace x::float by x + n) in <make>"
        machine = Machine(parse(source, "here"), Dice(1))
        machine.drop(number)
        machine.react()
        return machine.solution.atoms[0]

    assert made(1) == made(1) and hash(made(1)) == hash(made(1)) and made(1) != made(2)
    assert text(made(2), full=True) == "(add = replace x::float by x + 2)"
    assert Solution([made(1), made(2)]) == Solution([made(2), made(1)])
