"""What the records were called before they got their present names."""

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

ParametersRecord = ArrayRecord
MetricsRecord = MetricRecord
ConfigsRecord = ConfigRecord
RecordSet = RecordDict
