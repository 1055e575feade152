"""Statistics over all sites, from answers that can only be added up."""

import time
from collections import Counter

import numpy as np

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .task import Numbers, names, pooled

QUARTILES = np.array([[0.25], [0.5], [0.75]])

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask for moments, quartiles and a histogram; show them beside those of the pooled data."""
    config = context.run_config
    nodes = await_nodes(grid, int(config["min-nodes"]))
    told = ask(grid, nodes, "moments")
    sites = list(told)
    size, sums, squares = (sum(parts) for parts in zip(*told.values(), strict=True))
    mean = sums / size
    spread = np.sqrt(squares / size - mean**2)
    quartiles = find_quartiles(grid, sites, (size, mean, spread), int(config["bisections"]))
    show(mean, spread, quartiles)

    feature = names().index(str(config["histogram-of"]))
    edges = mean[feature] + spread[feature] * np.linspace(-2, 2, int(config["bins"]) - 1)
    counts = add_up(grid, sites, "histogram", [np.array(feature), edges])
    means = [sums[feature] / size for size, sums, _ in told.values()]
    print(f"\n{names()[feature]}; means of the sites {min(means):.2f} to {max(means):.2f}")
    for edge, count in zip([*edges, np.inf], counts, strict=True):
        print(f"  below {edge:6.2f} {'#' * int(count)} {count}")

    truth = pooled()
    true_quartiles = np.quantile(truth, QUARTILES[:, 0], axis=0, method="inverted_cdf")
    print(
        f"\nResult: wines {int(size)} of {len(truth)}; off by at most, in standard deviations: "
        f"mean {np.max(abs(mean - truth.mean(axis=0)) / spread):.4f}, "
        f"spread {np.max(abs(spread - truth.std(axis=0)) / spread):.4f}, "
        f"quartiles {np.max(abs(quartiles - true_quartiles) / spread):.4f}"
    )


def await_nodes(grid: Grid, wanted: int) -> list[int]:
    """Return the nodes, as soon as there are enough of them."""
    while len(nodes := list(grid.get_node_ids())) < wanted:
        time.sleep(1)
    return nodes


def ask(
    grid: Grid, nodes: list[int], question: str, numbers: list[Numbers] | None = None
) -> dict[int, list[Numbers]]:
    """Ask nodes; return what those told that answered."""
    content = RecordDict({"numbers": ArrayRecord(numbers or [])})
    questions = [Message(content, node, f"query.{question}") for node in nodes]
    replies = list(grid.send_and_receive(questions))
    refusals = Counter(reply.error.reason for reply in replies if reply.has_error())
    for reason, count in refusals.items():
        print(f"{count} of {len(nodes)} sites do not take part: {reason}")
    return {
        reply.metadata.src_node_id: reply.content.array_records["numbers"].to_numpy_ndarrays()
        for reply in replies
        if reply.has_content()
    }


def add_up(grid: Grid, sites: list[int], question: str, numbers: list[Numbers]) -> Numbers:
    """Return the sum of what all sites tell; without one of them it would be another question."""
    told = ask(grid, sites, question, numbers)
    if len(told) < len(sites):
        raise RuntimeError(f"{len(sites) - len(told)} of {len(sites)} sites no longer answer")
    return np.asarray(sum(counts for (counts,) in told.values()))


def find_quartiles(
    grid: Grid, sites: list[int], moments: tuple[Numbers, Numbers, Numbers], bisections: int
) -> Numbers:
    """Close in on the quartiles, (3, measurements), by asking how many wines are below a value."""
    size, mean, spread = moments
    # By Cantelli's inequality no quartile is farther from the mean than this.
    low = mean - spread * np.sqrt((1 - QUARTILES) / QUARTILES)
    high = mean + spread * np.sqrt(QUARTILES / (1 - QUARTILES))
    for _ in range(bisections):
        middle = (low + high) / 2
        is_enough = add_up(grid, sites, "below", [middle]) >= QUARTILES * size
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
    return np.asarray(high)


def show(mean: Numbers, spread: Numbers, quartiles: Numbers) -> None:
    """Print a line for each measurement."""
    print(f"{'':30}{'mean':>9}{'spread':>9}{'25 %':>9}{'50 %':>9}{'75 %':>9}")
    for name, *numbers in zip(names(), mean, spread, *quartiles, strict=True):
        print(f"{name:30}" + "".join(f"{number:9.2f}" for number in numbers))
