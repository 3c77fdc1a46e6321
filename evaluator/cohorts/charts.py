"""Chart events of all sources: drops outliers and minority units, computes bins and means."""

from . import flow
from .database import Database
from .metadata import FlowStep


def bin_charts(database: Database, kind: str = "chart events") -> list[FlowStep]:
    """Turns the table `chart_rows` into `sorted_bins` and `chart_means`; returns the flow.

    Quantities are worked through in parts, so that memory stays bounded. `kind` names the rows
    in the flow.
    """
    staged = flow.count_drop_reasons(
        database, "SELECT drop_reason, count(*) FROM chart_rows GROUP BY drop_reason"
    )
    parts = 1 + staged.get("", 0) // database.rows_per_part
    database.connection.execute(
        "CREATE TABLE chart_bins (row INTEGER, item INTEGER, bin INTEGER, value DOUBLE);"
        "CREATE TABLE chart_drops (drop_reason VARCHAR, n BIGINT)"
    )
    for part in range(parts):
        database.set_variables(parts=parts, part=part)
        database.run_script("chart_part", "chart events")
    database.connection.execute(
        "DROP TABLE part; DROP TABLE part_classified; DROP TABLE chart_rows"
    )
    database.run_script("chart_means", "chart events")
    binned = flow.count_drop_reasons(
        database, "SELECT drop_reason, sum(n) FROM chart_drops GROUP BY drop_reason"
    )
    return flow.flow_steps(kind, flow.CHARTS, {**staged, "": 0} | binned)
