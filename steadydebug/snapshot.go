package steadydebug

import (
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// A snapshot is what there is to show. These types are the JSON, too.
type snapshot struct {
	Time       time.Time   `json:"time"`
	Transports []transport `json:"transports"`
}

type transport struct {
	Index  int    `json:"index"`
	Policy string `json:"policy"` // Transport.String; empty for a nil transport
	Fleet  *fleet `json:"fleet,omitempty"`
	// Origins are sorted by name.
	Origins []origin `json:"origins"`
}

type fleet struct {
	Members int      `json:"members"`     // 0: not known
	Lag     float64  `json:"lag_seconds"` // of the others' word
	Alone   bool     `json:"alone"`       // it cannot be reached
	Advice  []advice `json:"advice"`      // in force, sorted by origin
}

type advice struct {
	Origin string    `json:"origin"`
	Phase  string    `json:"phase"`
	Since  time.Time `json:"since,omitzero"`
}

type origin struct {
	Origin           string   `json:"origin"`
	Calls            int      `json:"calls"`
	Waiting          int      `json:"waiting"`
	Budget           *float64 `json:"budget"` // null without one
	RetriesSuspended bool     `json:"retries_suspended"`
	Breaker          *breaker `json:"breaker"` // null without one
	Pause            pause    `json:"pause"`
}

type breaker struct {
	State    steadyhttp.BreakerState `json:"state"`
	Isolated bool                    `json:"isolated"` // no probe until it is reset
	Shadow   bool                    `json:"shadow"`
	Reason   string                  `json:"reason,omitempty"`
	Since    time.Time               `json:"since,omitzero"`    // absent before the first change
	RetryAt  time.Time               `json:"retry_at,omitzero"` // the next probe
	Requests uint32                  `json:"requests"`
	Failures uint32                  `json:"failures"`
	Changes  []change                `json:"changes"` // oldest first
}

type change struct {
	At     time.Time               `json:"at"`
	From   steadyhttp.BreakerState `json:"from"`
	To     steadyhttp.BreakerState `json:"to"`
	Reason string                  `json:"reason,omitempty"`
}

type pause struct {
	State steadyhttp.PauseState `json:"state"`
	Until time.Time             `json:"until,omitzero"`
}

func newSnapshot(transports []*steadyhttp.Transport, now time.Time) snapshot {
	s := snapshot{Time: now.UTC(), Transports: make([]transport, 0, len(transports))}
	for i, t := range transports {
		s.Transports = append(s.Transports, newTransport(i, t))
	}
	return s
}

func newTransport(index int, t *steadyhttp.Transport) transport {
	shown := transport{Index: index, Origins: []origin{}}
	if t == nil {
		return shown
	}
	shown.Policy, shown.Fleet = t.String(), newFleet(t.Fleet())
	hasBreakers := t.Breaker("any") != nil
	for _, status := range t.Origins() {
		shown.Origins = append(shown.Origins, newOrigin(status, hasBreakers))
	}
	return shown
}

func newFleet(s *steadyhttp.FleetStatus) *fleet {
	if s == nil {
		return nil
	}
	f := &fleet{Members: s.Members, Lag: s.Lag.Seconds(), Alone: s.Alone, Advice: make([]advice, 0, len(s.Advice))}
	for _, a := range s.Advice {
		f.Advice = append(f.Advice, advice{a.Origin, a.Phase, a.Since.UTC()})
	}
	return f
}

func newOrigin(s steadyhttp.OriginStatus, hasBreaker bool) origin {
	o := origin{
		Origin: s.Origin, Calls: s.Calls, Waiting: s.Waiting, RetriesSuspended: s.RetriesSuspended,
		Pause: pause{s.Pause, s.PausedUntil.UTC()},
	}
	if s.Budget >= 0 {
		o.Budget = &s.Budget
	}
	if hasBreaker {
		o.Breaker = newBreaker(s)
	}
	return o
}

func newBreaker(s steadyhttp.OriginStatus) *breaker {
	b := &breaker{
		State: s.Breaker.State, Shadow: s.Breaker.Shadow, Reason: s.Breaker.Reason, RetryAt: s.Breaker.RetryAt.UTC(),
		Isolated: s.Breaker.State == steadyhttp.BreakerOpen && s.Breaker.RetryAt.IsZero(),
		Requests: s.Breaker.Requests, Failures: s.Breaker.Failures, Changes: make([]change, 0, len(s.Changes)),
	}
	for _, c := range s.Changes {
		b.Changes = append(b.Changes, change{c.At.UTC(), c.From, c.To, c.Reason})
	}
	b.Since = b.since()
	return b
}

// since is when the breaker came into its state. The changes are read after the state, so they may know of a newer one.
func (b *breaker) since() (at time.Time) {
	for _, c := range b.Changes {
		if c.To == b.State {
			at = c.At
		}
	}
	return at
}
