"""Runs a world in several processes (coordinator, nodes, gateway) and stores its history on disk, as a *run*.

This module is the public interface of the package: the client imports only these names from it (an import contract in
`pyproject.toml`). The module of a name is imported when the name is first used, so that `umwelt --help` imports neither
ZeroMQ nor numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umwelt.cluster.coordinator.storage import newest_good as find_newest_good
    from umwelt.cluster.gateway import journal_queries as journal_queries
    from umwelt.cluster.gateway.journal_queries import MARKERS as MARKERS
    from umwelt.cluster.gateway.journal_queries import MAX_BIRTHS as MAX_BIRTHS
    from umwelt.cluster.gateway.welcome import compose_welcome as compose_welcome
    from umwelt.cluster.gateway.welcome import species_names as species_names
    from umwelt.cluster.launch.local import Engine as Engine
    from umwelt.cluster.launch.local import Plan as Plan
    from umwelt.cluster.launch.local import begin_run as begin_run
    from umwelt.cluster.launch.local import check_not_running as check_not_running
    from umwelt.cluster.launch.local import nodes_for as choose_node_count
    from umwelt.cluster.node.process import NodeProcess as NodeProcess
    from umwelt.cluster.process import is_alive as is_alive
    from umwelt.cluster.process import read_announcement as read_announcement
    from umwelt.cluster.ray.engine import RayEngine as RayEngine
    from umwelt.cluster.ray.pool import ray_worker_pool as ray_worker_pool
    from umwelt.cluster.run.audit import ClosureResult as ClosureResult
    from umwelt.cluster.run.audit import CycleResult as CycleResult
    from umwelt.cluster.run.audit import check_closure as check_closure
    from umwelt.cluster.run.audit import measure_cycles as measure_cycles
    from umwelt.cluster.run.journal import Journal as Journal
    from umwelt.cluster.run.journal import Metrics as Metrics
    from umwelt.cluster.run.journal import damaged as journal_error
    from umwelt.cluster.run.journal_lineage import MAX_ANCESTORS as MAX_ANCESTORS
    from umwelt.cluster.run.journal_lineage import MAX_CHILDREN as MAX_CHILDREN
    from umwelt.cluster.run.remote_store import open_store as open_store
    from umwelt.cluster.run.replay import Replay as Replay
    from umwelt.cluster.run.replay import find_last_tick as find_last_tick
    from umwelt.cluster.run.replay import fork as fork_run
    from umwelt.cluster.run.replay import read_run_world as read_run_world
    from umwelt.cluster.run.replay import restore_region as restore_region
    from umwelt.cluster.run.replay import verify as verify_run
    from umwelt.cluster.run.store import RUNS as RUNS_FOLDER
    from umwelt.cluster.run.store import WORLD as WORLD_FILE
    from umwelt.cluster.run.store import Entry as SnapshotEntry
    from umwelt.cluster.run.store import Store as Store
    from umwelt.cluster.run.store import replace_file as replace_file
    from umwelt.cluster.run.store import report_disk_errors as report_disk_errors
    from umwelt.cluster.run.verify import compare as compare_runs
    from umwelt.cluster.settings import CLUSTER_FILE as CLUSTER_FILE
    from umwelt.cluster.settings import COORDINATOR_FILE as COORDINATOR_FILE
    from umwelt.cluster.settings import NodeSettings as NodeSettings
    from umwelt.cluster.shard import check_species as check_species
    from umwelt.cluster.shard import measure_populations as measure_populations
    from umwelt.cluster.tasks.hocl_workflow import read_workflow as read_workflow
    from umwelt.cluster.tasks.hocl_workflow import run_program as run_chemical_workflow
    from umwelt.cluster.tasks.pool import WorkerPool as WorkerPool
    from umwelt.cluster.tasks.pool import choose_process_count as choose_process_count
    from umwelt.cluster.tasks.registry import Task as Task
    from umwelt.cluster.tasks.registry import task as task
    from umwelt.cluster.tasks.workflow import MAX_TASKS as MAX_WORKFLOW_TASKS
    from umwelt.cluster.tasks.workflow import WITHIN_S as WORKFLOW_WITHIN_S
    from umwelt.cluster.tasks.workflow import Flow as Flow
    from umwelt.cluster.tasks.workflow import run_workflow as run_workflow
    from umwelt.cluster.token_bucket import TokenBucket as TokenBucket
    from umwelt.cluster.view import queries as queries
    from umwelt.cluster.view.queries import LAST as LAST_TICK_COLUMNS
    from umwelt.cluster.view.queries import MAX_TASK_ROWS as MAX_TASK_ROWS
    from umwelt.cluster.view.queries import Patch as Patch
    from umwelt.cluster.view.queries import Select as Select
    from umwelt.cluster.view.tile_encoder import TileEncoder as TileEncoder
    from umwelt.cluster.view.tiles import BEINGS as BEINGS
    from umwelt.cluster.view.tiles import BIN_CELLS as BIN_CELLS
    from umwelt.cluster.view.tiles import BODIES as BODIES
    from umwelt.cluster.view.tiles import DENSITIES as DENSITIES
    from umwelt.cluster.view.tiles import DOTS as DOTS
    from umwelt.cluster.view.tiles import LEVELS as LEVELS
    from umwelt.cluster.view.tiles import PLACE_STEPS as PLACE_STEPS
    from umwelt.cluster.view.tiles import SKY as SKY
    from umwelt.cluster.view.tiles import Piece as Piece
    from umwelt.cluster.view.tiles import Topic as Topic
    from umwelt.cluster.view.tiles import bins as tile_bins
    from umwelt.cluster.view.tiles import decode as decode_tile
    from umwelt.cluster.view.tiles import join_beings as join_beings
    from umwelt.cluster.view.tiles import join_counts as join_counts
    from umwelt.cluster.view.tiles import join_field as join_field
    from umwelt.cluster.view.tiles import layer_numbers as layer_numbers
    from umwelt.cluster.view.tiles import topics_over as topics_over
    from umwelt.cluster.view.tiles import whole as full_column
    from umwelt.cluster.wire import viewer_protocol as viewer_protocol
    from umwelt.cluster.wire.keys import KEEPER as KEEPER
    from umwelt.cluster.wire.keys import WORLD as WORLD_ROLE
    from umwelt.cluster.wire.keys import Keys as Keys
    from umwelt.cluster.wire.keys import best_role as best_role
    from umwelt.cluster.wire.keys import load_chain_public as load_chain_public
    from umwelt.cluster.wire.keys import make_keys as make_keys
    from umwelt.cluster.wire.protocol import ScheduledCommand as ScheduledCommand
    from umwelt.cluster.wire.transport import Limits as TransportLimits
    from umwelt.cluster.wire.transport import ZmqTransport as ZmqTransport
    from umwelt.cluster.wire.transport import check_address as check_address
    from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE as GATEWAY_FILE
    from umwelt.cluster.wire.viewer_protocol import LIVE as LIVE
    from umwelt.cluster.wire.viewer_protocol import MAX_PIECES as MAX_PIECES
    from umwelt.cluster.wire.viewer_protocol import Message as ViewerMessage
    from umwelt.cluster.wire.viewer_protocol import Welcome as Welcome

_HOMES = {
    # runs on disk
    "Store": "run.store:Store",
    "SnapshotEntry": "run.store:Entry",
    "RUNS_FOLDER": "run.store:RUNS",
    "WORLD_FILE": "run.store:WORLD",
    "replace_file": "run.store:replace_file",
    "report_disk_errors": "run.store:report_disk_errors",
    "open_store": "run.remote_store:open_store",
    "Journal": "run.journal:Journal",
    "Metrics": "run.journal:Metrics",
    "journal_error": "run.journal:damaged",
    "MAX_ANCESTORS": "run.journal_lineage:MAX_ANCESTORS",
    "MAX_CHILDREN": "run.journal_lineage:MAX_CHILDREN",
    "Replay": "run.replay:Replay",
    "find_last_tick": "run.replay:find_last_tick",
    "fork_run": "run.replay:fork",
    "read_run_world": "run.replay:read_run_world",
    "restore_region": "run.replay:restore_region",
    "verify_run": "run.replay:verify",
    "compare_runs": "run.verify:compare",
    "ClosureResult": "run.audit:ClosureResult",
    "CycleResult": "run.audit:CycleResult",
    "check_closure": "run.audit:check_closure",
    "measure_cycles": "run.audit:measure_cycles",
    "find_newest_good": "coordinator.storage:newest_good",
    "ScheduledCommand": "wire.protocol:ScheduledCommand",
    # starting and finding the processes of a world
    "CLUSTER_FILE": "settings:CLUSTER_FILE",
    "Engine": "launch.local:Engine",
    "Plan": "launch.local:Plan",
    "begin_run": "launch.local:begin_run",
    "check_not_running": "launch.local:check_not_running",
    "choose_node_count": "launch.local:nodes_for",
    "RayEngine": "ray.engine:RayEngine",
    "COORDINATOR_FILE": "settings:COORDINATOR_FILE",
    "NodeProcess": "node.process:NodeProcess",
    "NodeSettings": "settings:NodeSettings",
    "is_alive": "process:is_alive",
    "read_announcement": "process:read_announcement",
    "check_species": "shard:check_species",
    "measure_populations": "shard:measure_populations",
    # connections to a gateway
    "viewer_protocol": "wire:viewer_protocol",
    "GATEWAY_FILE": "wire.viewer_protocol:GATEWAY_FILE",
    "LIVE": "wire.viewer_protocol:LIVE",
    "MAX_PIECES": "wire.viewer_protocol:MAX_PIECES",
    "ViewerMessage": "wire.viewer_protocol:Message",
    "Welcome": "wire.viewer_protocol:Welcome",
    "TransportLimits": "wire.transport:Limits",
    "ZmqTransport": "wire.transport:ZmqTransport",
    "check_address": "wire.transport:check_address",
    "KEEPER": "wire.keys:KEEPER",
    "WORLD_ROLE": "wire.keys:WORLD",
    "Keys": "wire.keys:Keys",
    "best_role": "wire.keys:best_role",
    "load_chain_public": "wire.keys:load_chain_public",
    "make_keys": "wire.keys:make_keys",
    "TokenBucket": "token_bucket:TokenBucket",
    "compose_welcome": "gateway.welcome:compose_welcome",
    "species_names": "gateway.welcome:species_names",
    "journal_queries": "gateway:journal_queries",
    "MARKERS": "gateway.journal_queries:MARKERS",
    "MAX_BIRTHS": "gateway.journal_queries:MAX_BIRTHS",
    # what viewers see: tiles and queries
    "queries": "view:queries",
    "LAST_TICK_COLUMNS": "view.queries:LAST",
    "MAX_TASK_ROWS": "view.queries:MAX_TASK_ROWS",
    "Patch": "view.queries:Patch",
    "Select": "view.queries:Select",
    "BEINGS": "view.tiles:BEINGS",
    "BIN_CELLS": "view.tiles:BIN_CELLS",
    "BODIES": "view.tiles:BODIES",
    "DENSITIES": "view.tiles:DENSITIES",
    "DOTS": "view.tiles:DOTS",
    "LEVELS": "view.tiles:LEVELS",
    "PLACE_STEPS": "view.tiles:PLACE_STEPS",
    "SKY": "view.tiles:SKY",
    "Piece": "view.tiles:Piece",
    "Topic": "view.tiles:Topic",
    "tile_bins": "view.tiles:bins",
    "decode_tile": "view.tiles:decode",
    "join_beings": "view.tiles:join_beings",
    "join_counts": "view.tiles:join_counts",
    "join_field": "view.tiles:join_field",
    "layer_numbers": "view.tiles:layer_numbers",
    "topics_over": "view.tiles:topics_over",
    "full_column": "view.tiles:whole",
    "TileEncoder": "view.tile_encoder:TileEncoder",
    # tasks and workflows
    "Task": "tasks.registry:Task",
    "task": "tasks.registry:task",
    "Flow": "tasks.workflow:Flow",
    "MAX_WORKFLOW_TASKS": "tasks.workflow:MAX_TASKS",
    "WORKFLOW_WITHIN_S": "tasks.workflow:WITHIN_S",
    "run_workflow": "tasks.workflow:run_workflow",
    "read_workflow": "tasks.hocl_workflow:read_workflow",
    "run_chemical_workflow": "tasks.hocl_workflow:run_program",
    "WorkerPool": "tasks.pool:WorkerPool",
    "choose_process_count": "tasks.pool:choose_process_count",
    "ray_worker_pool": "ray.pool:ray_worker_pool",
}
"""Location of each public name, as "MODULE:NAME" relative to this package."""

_MODULES = ("journal_queries", "queries", "viewer_protocol")
"""The public names that are modules."""

__all__ = [
    "BEINGS",
    "BIN_CELLS",
    "BODIES",
    "CLUSTER_FILE",
    "COORDINATOR_FILE",
    "DENSITIES",
    "DOTS",
    "GATEWAY_FILE",
    "KEEPER",
    "LAST_TICK_COLUMNS",
    "LEVELS",
    "LIVE",
    "MARKERS",
    "MAX_ANCESTORS",
    "MAX_BIRTHS",
    "MAX_CHILDREN",
    "MAX_PIECES",
    "MAX_TASK_ROWS",
    "MAX_WORKFLOW_TASKS",
    "PLACE_STEPS",
    "RUNS_FOLDER",
    "SKY",
    "WORKFLOW_WITHIN_S",
    "WORLD_FILE",
    "WORLD_ROLE",
    "ClosureResult",
    "CycleResult",
    "Engine",
    "Flow",
    "Journal",
    "Keys",
    "Metrics",
    "NodeProcess",
    "NodeSettings",
    "Patch",
    "Piece",
    "Plan",
    "RayEngine",
    "Replay",
    "ScheduledCommand",
    "Select",
    "SnapshotEntry",
    "Store",
    "Task",
    "TileEncoder",
    "TokenBucket",
    "Topic",
    "TransportLimits",
    "ViewerMessage",
    "Welcome",
    "WorkerPool",
    "ZmqTransport",
    "begin_run",
    "best_role",
    "check_address",
    "check_closure",
    "check_not_running",
    "check_species",
    "choose_node_count",
    "choose_process_count",
    "compare_runs",
    "compose_welcome",
    "decode_tile",
    "find_last_tick",
    "find_newest_good",
    "fork_run",
    "full_column",
    "is_alive",
    "join_beings",
    "join_counts",
    "join_field",
    "journal_error",
    "journal_queries",
    "layer_numbers",
    "load_chain_public",
    "make_keys",
    "measure_cycles",
    "measure_populations",
    "open_store",
    "queries",
    "ray_worker_pool",
    "read_announcement",
    "read_run_world",
    "read_workflow",
    "replace_file",
    "report_disk_errors",
    "restore_region",
    "run_chemical_workflow",
    "run_workflow",
    "species_names",
    "task",
    "tile_bins",
    "topics_over",
    "verify_run",
    "viewer_protocol",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = importlib.import_module(f"{__name__}.{module}")
    # a module is an attribute of its package only after it was imported
    value = (
        importlib.import_module(f"{home.__name__}.{attribute}") if attribute in _MODULES else getattr(home, attribute)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
