"""One section, with all inputs and outputs, cut into several that run one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from hessian.programs.ir import DIRECTION, Section, reachable
from hessian.programs.passes.job import Job


def cut(sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Distribute the nodes of a section over those that need them first."""
    (whole,) = sections
    done = set(job.places)
    waiting = list(whole.guards)
    result = []
    for number, (name, taken, given) in enumerate(job.specs):
        inputs = [whole.inputs[i] for i in taken]
        if given is None:
            later = [whole.outputs[i] for _, _, rest in job.specs[number + 1 :] for i in rest or ()]
            outputs, guards = [], []
            nodes = [node for node in reachable(later, done) if node.level < DIRECTION and node.operation]
        else:
            outputs = [whole.outputs[i] for i in given]
            # What a value depends on is checked with it; derivatives may have guards of their own.
            guards = [guard for guard in waiting if guard.early or number > 0 or name != "value"]
            waiting = [guard for guard in waiting if not (guard.early or number > 0 or name != "value")]
            nodes = reachable([*outputs, *(guard.node for guard in guards)], done)
        done.update(node.serial for node in nodes)
        result.append(Section(name, inputs, [node for node in nodes if node.operation], outputs, guards))
    return result
