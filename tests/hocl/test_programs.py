"""Every bundled program has a valid outcome for each seed; all orders together give all valid outcomes and no other."""

import re
from collections import Counter
from itertools import permutations

import pytest
from hocl_runs import outcomes_by_seed, outcomes_in_all_orders, run_program, run_text

from umwelt.agents.hocl.machine import Dice, Machine
from umwelt.agents.hocl.parser import parse
from umwelt.agents.hocl.programs import bundled_programs, read_program
from umwelt.agents.hocl.terms import text

PRIMES_UP_TO_1000 = [n for n in range(2, 1001) if all(n % d for d in range(2, int(n**0.5) + 1))]
SEEDS = range(40)
ALWAYS = {
    "maximum": "<9, max>",
    "primes": f"<{', '.join(str(n) for n in PRIMES_UP_TO_1000 if n <= 100)}, sieve>",
    "largest_prime": "<7, max>",
    "factorial": "<3628800, times>",
    "fibonacci": "<55, add>",
    "gcd": "<14, less>",
    "sort": "<1:1, 2:2, 3:4, 4:7, 5:8, 6:9, swap>",
    "dutch_flag": '<1:"red", 2:"red", 3:"white", 4:"white", 5:"blue", 6:"blue", blue, red>',
    "delivered": "<42, max>",
}
SIEVE = "let sieve = replace x::int, y::int by x if y % x == 0 in"


def numbers(text: str) -> list[int]:
    return [int(one) for one in re.findall(r"-?\d+", text)]


def test_all_programs_of_the_table_are_there_and_each_says_what_it_does():
    known = bundled_programs()
    others = {"shortest_path", "allocation", "split", "majority", "queens"}
    assert known.keys() == ALWAYS.keys() | others
    for path in known.values():
        assert path.read_text("utf-8").startswith("// ")


@pytest.mark.parametrize("name", ALWAYS)
def test_programs_whose_order_does_not_matter_have_one_result_for_all_seeds(name):
    program = read_program(name)
    assert outcomes_by_seed(program, SEEDS) == {ALWAYS[name]}


@pytest.mark.parametrize("name", ["maximum", "largest_prime", "gcd", "sort", "dutch_flag", "delivered"])
def test_programs_whose_order_does_not_matter_have_one_outcome_in_all_orders(name):
    assert outcomes_in_all_orders(read_program(name)) == {ALWAYS[name]}


@pytest.mark.parametrize(("up_to", "count"), [(10, 4), (99, 25), (1000, 168)])
def test_the_sieve_leaves_the_primes(up_to, count):
    left = run_text(f"{SIEVE} <sieve, {', '.join(map(str, range(2, up_to + 1)))}>")
    assert numbers(left) == [n for n in PRIMES_UP_TO_1000 if n <= up_to] and len(numbers(left)) == count


def test_the_sieve_with_its_condition_the_wrong_way_round_leaves_those_that_divide_none():
    wrong = "let sieve = replace x::int, y::int by x if x % y == 0 in <sieve, 2, 3, 4, 5, 6, 7, 8, 9, 10>"
    assert outcomes_in_all_orders(parse(wrong, "here")) == {"<6, 7, 8, 9, 10, sieve>"}


def test_the_shortest_paths_are_the_shortest_in_every_order():
    found = outcomes_in_all_orders(read_program("shortest_path"))
    assert found == outcomes_by_seed(read_program("shortest_path"), SEEDS) and len(found) == 1
    distances = dict(re.findall(r'"at":"(\w+)":(\d+)', found.pop()))
    assert distances == {"ash": "0", "cedar": "3", "birch": "4", "elm": "6"}


def test_an_allocation_serves_everybody_once_and_leaves_every_machine_free():
    for left in outcomes_by_seed(read_program("allocation"), SEEDS):
        assert sorted(re.findall(r'"served":"(\w+)"', left)) == ["Ada", "Ben", "Cleo", "Dan", "Eve"]
        assert re.findall(r'"free":"(\w+)"', left) == ["alpha", "beta", "gamma"]
        assert "waits" not in left and "uses" not in left


def test_nobody_waits_while_a_machine_is_free_where_nobody_leaves():
    keep = 'let serve = replace "waits":u::string, "free":m::int by u:m in <serve, "free":1, "free":2, '
    found = outcomes_in_all_orders(parse(keep + '"waits":"a", "waits":"b", "waits":"c">', "here"))
    pairs = [dict(zip("abc", places, strict=True)) for places in set(permutations([1, 2, 0]))]
    legal = set()
    for served in pairs:
        atoms = [f'"{user}":{machine}' for user, machine in served.items() if machine]
        atoms.append(f'"waits":"{next(user for user, machine in served.items() if not machine)}"')
        legal.add(f"<{', '.join(sorted(atoms))}, serve>")
    assert found == legal and len(found) == 6


def test_a_split_puts_all_others_on_the_right_side_of_any_pivot():
    values = [5, 3, 8, 1, 9]
    legal = set()
    for pivot in values:
        greater = sorted(v for v in values if v > pivot)
        lower = sorted(v for v in values if v < pivot)
        legal.add(
            f'<"G":<{", ".join(map(str, greater))}>, "L":<{", ".join(map(str, lower))}>, "pivot":{pivot}, '
            "greater, lower>"
        )
    program = read_program("split")
    assert outcomes_in_all_orders(program) == legal
    assert outcomes_by_seed(program, range(100)) == legal


def test_annihilation_leaves_one_three_five_seven_or_nine_ones():
    legal = {f"<{'1, ' * count}annihilate>" for count in (1, 3, 5, 7, 9)}
    program = read_program("majority")
    assert outcomes_in_all_orders(program) == legal
    assert outcomes_by_seed(program, SEEDS) <= legal and len(outcomes_by_seed(program, SEEDS)) > 2


def test_four_queens_have_exactly_their_two_solutions():
    legal = {"<2:4:1:3>", "<3:1:4:2>"}
    assert outcomes_in_all_orders(read_program("queens")) == legal == outcomes_by_seed(read_program("queens"), SEEDS)


def test_a_seed_repeats_its_run_exactly_and_other_seeds_differ():
    program = read_program("allocation")
    trails = []
    for seed in (1, 1, 2):
        trail: list[str] = []
        machine = Machine(
            program, Dice(seed), on_reaction=lambda seen, trail=trail: trail.append(text(tuple(seen.taken)))
        )
        machine.react()
        trails.append(trail)
    assert trails[0] == trails[1] != trails[2]


def test_dice_choose_about_evenly_among_reactions_that_are_equally_possible():
    program = parse("let one = replace-one x::int, y::int by x:y in <one, 1, 2, 3, 4>", "here")
    counts = Counter(run_program(program, seed) for seed in range(1200))
    assert counts.keys() == outcomes_in_all_orders(program) and len(counts) == 12
    assert all(60 <= count <= 140 for count in counts.values())
