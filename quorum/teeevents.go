package quorum

// TeeEvents returns Events that tell everything to all of the given ones, in their order. If one of
// them panics, the others are told all the same.
func TeeEvents(all ...Events) Events {
	return Events{
		Acquired:          tee(all, func(e Events) func(AcquiredEvent) { return e.Acquired }),
		AttemptFailed:     tee(all, func(e Events) func(AttemptFailedEvent) { return e.AttemptFailed }),
		NotAcquired:       tee(all, func(e Events) func(NotAcquiredEvent) { return e.NotAcquired }),
		Renewed:           tee(all, func(e Events) func(RenewedEvent) { return e.Renewed }),
		RenewalFailed:     tee(all, func(e Events) func(RenewalFailedEvent) { return e.RenewalFailed }),
		Lost:              tee(all, func(e Events) func(LostEvent) { return e.Lost }),
		Released:          tee(all, func(e Events) func(ReleasedEvent) { return e.Released }),
		TermEnded:         tee(all, func(e Events) func(TermEndedEvent) { return e.TermEnded }),
		HandedOn:          tee(all, func(e Events) func(HandedOnEvent) { return e.HandedOn }),
		Repaired:          tee(all, func(e Events) func(RepairedEvent) { return e.Repaired }),
		Broken:            tee(all, func(e Events) func(BrokenEvent) { return e.Broken }),
		MasterStopped:     tee(all, func(e Events) func(MasterStoppedEvent) { return e.MasterStopped }),
		MasterResumed:     tee(all, func(e Events) func(MasterResumedEvent) { return e.MasterResumed }),
		MasterQuarantined: tee(all, func(e Events) func(MasterQuarantinedEvent) { return e.MasterQuarantined }),
		QueueFailed:       tee(all, func(e Events) func(QueueFailedEvent) { return e.QueueFailed }),
		QueueRestored:     tee(all, func(e Events) func(QueueRestoredEvent) { return e.QueueRestored }),
		ReleaseOwed:       tee(all, func(e Events) func(ReleaseOwedEvent) { return e.ReleaseOwed }),
		ReleaseGivenUp:    tee(all, func(e Events) func(ReleaseGivenUpEvent) { return e.ReleaseGivenUp }),
		EventsDropped:     tee(all, func(e Events) func(EventsDroppedEvent) { return e.EventsDropped }),
		HandlerPanicked:   tee(all, func(e Events) func(HandlerPanickedEvent) { return e.HandlerPanicked }),
	}
}

// tee returns a handler that calls those that get picks, or nil if there are none.
func tee[E any](all []Events, get func(Events) func(E)) func(E) {
	var handlers []func(E)
	for _, e := range all {
		if h := get(e); h != nil {
			handlers = append(handlers, h)
		}
	}
	if len(handlers) == 0 {
		return nil
	}
	return func(e E) { callAll(handlers, e) }
}

// callAll calls the handlers in order, the later ones even if an earlier one panics.
func callAll[E any](handlers []func(E), e E) {
	if len(handlers) == 0 {
		return
	}
	defer callAll(handlers[1:], e)
	handlers[0](e)
}
