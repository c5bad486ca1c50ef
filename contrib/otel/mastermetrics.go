package redlockotel

import (
	"context"

	"go.opentelemetry.io/otel/metric"
)

// masterMetrics are the counters with the attribute redlock.master.
type masterMetrics struct {
	stops, resumes                metric.Int64Counter
	silence                       metric.Float64Counter
	quarantines                   metric.Int64Counter
	queueFailures, queueRestores  metric.Int64Counter
	releasesOwed, releasesGivenUp metric.Int64Counter
	repairs                       metric.Int64Counter
}

func newMasterMetrics(i *instruments) *masterMetrics {
	return &masterMetrics{
		stops: i.counter("redlock.master.stops", "{stop}",
			"How often the master stopped answering."),
		resumes: i.counter("redlock.master.resumes", "{resume}",
			"How often the master answered again."),
		silence: i.seconds("redlock.master.silence",
			"How long the master did not answer, counted when it answers again."),
		quarantines: i.counter("redlock.master.quarantines", "{quarantine}",
			"How often the restart guard began to keep the master from voting."),
		queueFailures: i.counter("redlock.master.queue.failures", "{failure}",
			"How often the master's queue became unusable, so that waiters poll."),
		queueRestores: i.counter("redlock.master.queue.restores", "{restore}",
			"How often the master's queue became usable again."),
		releasesOwed: i.counter("redlock.master.releases.owed", "{release}",
			"Releases that did not reach the master at first."),
		releasesGivenUp: i.counter("redlock.master.releases.given_up", "{release}",
			"Releases that the master was never told of. The key is left to expire."),
		repairs: i.counter("redlock.master.repairs", "{lock}",
			"Locks that the master had forgotten and stores again."),
	}
}

// start exports the counters of a master with the value 0.
func (m *masterMetrics) start(master string) {
	for _, counter := range []metric.Int64Counter{
		m.stops, m.resumes, m.quarantines, m.queueFailures, m.queueRestores, m.releasesOwed, m.releasesGivenUp, m.repairs,
	} {
		counter.Add(context.Background(), 0, onMaster(master))
	}
	m.silence.Add(context.Background(), 0, onMaster(master))
}

// onMaster returns the attribute of a master's address.
func onMaster(address string) metric.MeasurementOption {
	return metric.WithAttributes(masterKey.String(text(address)))
}
