package steadyhttp

import (
	"cmp"
	"slices"
	"time"
)

// OriginStatus is what [Transport.Origins] tells of one origin.
type OriginStatus struct {
	// Origin is "https://api.example.com:443", or what [WithOriginKey] returned.
	Origin string
	// Calls is how many calls are under way, those that wait included. A call is over when its response is returned,
	// though the body is still to be read.
	Calls int
	// Breaker is the zero BreakerStatus with [WithoutBreaker].
	Breaker BreakerStatus
	// Changes are the last 16 changes of the breaker, oldest first.
	Changes []BreakerChange
	// Budget is how many retries the budget can pay for now; -1 with [WithoutRetryBudget].
	Budget float64
	// RetriesSuspended is whether nothing is retried at present, because nothing has succeeded for a while;
	// with [WithShadowBreaker], whether nothing would be.
	RetriesSuspended bool
	// Pause is PauseIdle without [WithOriginPause]. Of the pauses of several keys it is the strictest: paused,
	// then probing, then releasing.
	Pause PauseState
	// PausedUntil is when a call may go again; zero unless Pause is PausePaused. Of several keys it is the last.
	PausedUntil time.Time
	// Waiting is how many calls a pause holds back.
	Waiting int
}

// Origins returns a snapshot of every origin that is remembered, sorted by name.
//
// It takes the locks of each origin for a moment, one after the other, so the whole is no single instant. Breakers
// and pauses advance only with traffic; see [Transport.Breakers].
func (t *Transport) Origins() []OriginStatus {
	if t.origins == nil {
		return nil
	}
	return t.origins.originStatuses()
}

func (r *registry) originStatuses() []OriginStatus {
	known := r.known()
	now := time.Since(r.epoch)
	statuses := make([]OriginStatus, 0, len(known))
	for _, o := range known {
		statuses = append(statuses, o.status(now))
	}
	slices.SortFunc(statuses, func(a, b OriginStatus) int { return cmp.Compare(a.Origin, b.Origin) })
	return statuses
}

func (o *origin) status(now time.Duration) OriginStatus {
	s := OriginStatus{Origin: o.name, Calls: int(max(0, o.calls.Load())), Budget: o.budget.level(now), RetriesSuspended: o.breaker.isSuspended()}
	if o.breaker != nil {
		s.Breaker, s.Changes = o.breaker.status(now), o.breaker.history()
	}
	o.pause.describe(&s)
	return s
}

// level is how many tokens there are; -1 for no budget.
func (b *budget) level(now time.Duration) float64 {
	if b == nil {
		return -1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	return b.tokens
}

// describe fills in what the gates have to tell.
func (p *originPause) describe(s *OriginStatus) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var last time.Duration
	for _, g := range p.gates {
		s.Waiting += len(g.queue)
		s.Pause = stricter(s.Pause, g.state)
		if g.state == PausePaused {
			last = max(last, g.next)
		}
	}
	if last > 0 {
		s.PausedUntil = p.config.epoch.Add(last)
	}
}

// stricter makes use of the order of the states, but for idle.
func stricter(a, b PauseState) PauseState {
	if a == PauseIdle || b == PauseIdle {
		return max(a, b)
	}
	return min(a, b)
}
