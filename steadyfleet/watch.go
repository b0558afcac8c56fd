package steadyfleet

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// A watch is on one origin of one Transport: what there is to tell of it, and what was heard.
//
// What is heard is advice. A breaker opens by it only where this process has seen for itself that the origin does not
// work, if by one failure alone: so nobody for whom it works is shut out by others' words, be they right or wrong.
type watch struct {
	fleet   *Fleet
	name    string
	key     string
	breaker *steadyhttp.FleetBreaker

	mu       sync.Mutex
	word     Word          // the last
	began    time.Duration // when its phase was first heard of, since the fleet's begin
	heard    time.Duration // when anything was
	failures int64         // that were not told
	told     time.Duration // when something was; 0: never
	worked   bool          // whether it was told in this alert that the origin works
	seen     time.Duration // the last success that was told of in this recovery
	bad      bool          // whether all that was seen lately was failure or slowness,
	badAt    time.Duration // and which success was the last before it
	results  []Kind        // of probes, to be told
	leased   bool          // whether the probe that is under way is the fleet's
	granted  time.Duration // until when a leave of the store holds that nobody has used; 0: there is none
	askAt    time.Duration // when to ask for the next probe
	ownProbe time.Duration // when to send one whatever the store says; 0: it is not known yet
}

const (
	tellEvery     = time.Second            // while all is calm,
	retellEvery   = 200 * time.Millisecond // and in trouble
	lookEvery     = 50 * time.Millisecond
	trustFor      = 700 * time.Millisecond // what is heard while an origin is down; it is said anew each quarter of a second
	forgetGen     = 5 * time.Second        // after which a store may have lost its count, or its clock been set back
	askAgain      = 250 * time.Millisecond // at the latest, here: the fleet may fall silent meanwhile
	askGap        = 50 * time.Millisecond  // from one process's question to another's
	ownProbeAfter = 30 * time.Second       // of waiting for the store's leave
	firstAskers   = 16                     // processes that ask at their next call: quiet ones make none for a second
	slowFactor    = 3                      // a success is slow from so many times the usual on,
	slowShare     = 4                      // if that is a part of so many of the longest wait
	quickShare    = 3
)

// Failed is called by steadyhttp.
func (w *watch) Failed() {
	evidence := w.breaker.Evidence()
	w.mu.Lock()
	w.failures++
	obeys := w.obeys(evidence)
	w.mu.Unlock()
	if obeys {
		w.open()
		return
	}
	w.fleet.rouse()
}

func (w *watch) open() { w.breaker.Open(w.firstProbe()) }

// firstProbe is how long after the word that nothing works the first probe may be asked for, such that the question arrives
// when the store grants it.
func (w *watch) firstProbe() time.Duration {
	const earliest = probeEvery * time.Millisecond
	return earliest - min(w.fleet.lastLag(), earliest-lookEvery)
}

// obeys reports whether the fleet's word that nothing works opens a breaker that has seen a failure. It does not where
// something has worked since, here: then the others are cut off. w.mu is held.
func (w *watch) obeys(evidence steadyhttp.FleetEvidence) bool {
	return w.isDown() && (w.succeeded(evidence) < w.began || w.isSlow(evidence))
}

// isDown reports whether the fleet's word is, and is fresh, that nothing works. w.mu is held.
func (w *watch) isDown() bool { return w.word.Phase == Down && w.fleet.now()-w.heard < trustFor }

// A leave is whether this process may probe, or else when to ask again.
type leave struct {
	ok         bool
	retryAfter time.Duration
}

// MayProbe is called by steadyhttp. Where the origin is down for all, the store chooses who probes. Its reply to a call that
// does not wait for it is for the next one.
func (w *watch) MayProbe(ctx context.Context) (ok bool, retryAfter time.Duration) {
	known, gen, unknown := w.beginAsking()
	if !unknown {
		return known.ok, known.retryAfter
	}
	replied := make(chan leave, 1)
	go func() { replied <- w.ask(ctx, gen) }()
	select {
	case l := <-replied:
		w.takeGrant()
		return l.ok, l.retryAfter
	case <-w.fleet.ended():
		return true, 0
	case <-ctx.Done():
		return false, askGap
	}
}

// beginAsking returns the leave, or else the generation to ask the store about.
func (w *watch) beginAsking() (known leave, gen int64, unknown bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.fleet.now()
	switch wait := w.askAt - now; {
	case !w.isDown() || w.fleet.isAlone() || !w.isPatient():
		w.leased = false
		return leave{ok: true}, 0, false
	case now < w.granted:
		w.granted = 0
		return leave{ok: true}, 0, false
	case wait > 0:
		return leave{retryAfter: min(wait, askAgain)}, 0, false
	}
	w.askAt = now + patience
	return leave{}, w.word.Gen, true
}

// ask outlives the call, but not the fleet.
func (w *watch) ask(ctx context.Context, gen int64) leave {
	ctx, cancel := w.fleet.outlive(ctx)
	defer cancel()
	word, err := w.fleet.tell(ctx, Report{Origin: w.key, Kind: AskProbe, Gen: gen})
	if err != nil || word.Phase != Down {
		return leave{ok: true}
	}
	return w.asked(word)
}

func (w *watch) takeGrant() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.granted = 0
}

// isPatient reports whether the store is to choose, as it does until it has let this process wait for too long: it may be
// wrong, and let nobody probe. w.mu is held.
func (w *watch) isPatient() bool {
	now := w.fleet.now()
	if w.ownProbe == 0 {
		w.ownProbe = now + ownProbeAfter + rand.N(ownProbeAfter/2)
	}
	if now < w.ownProbe {
		return true
	}
	w.ownProbe = 0
	return false
}

// asked takes in the store's reply. All processes together ask some twenty times a second, however many they are.
func (w *watch) asked(word Word) leave {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, gap := w.fleet.now(), w.turn(0.5)
	if word.Granted {
		w.leased, w.ownProbe, w.granted = true, 0, now+probeLease*time.Millisecond
		gap = max(gap, 2*probeEvery*time.Millisecond) // others first: it may be this process alone that is sick
	} else {
		gap = max(gap, milliseconds(word.Wait))
	}
	w.askAt = now + gap
	return leave{word.Granted, min(gap, askAgain)}
}

// turn is how long until it is this process's turn to ask again, of which a share is certain. w.mu is held.
func (w *watch) turn(certain float64) time.Duration {
	all := time.Duration(max(1, w.word.Voices)) * askGap
	return time.Duration((certain + rand.Float64()) * float64(all))
}

// Probed is called by steadyhttp. A success that is slow, after attempts have timed out, is none: the origin still has more
// to do than it can.
func (w *watch) Probed(succeeded bool, took time.Duration) {
	evidence := w.breaker.Evidence()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.leased {
		return
	}
	w.leased = false
	silence := max(evidence.Silence, milliseconds(w.word.Silence))
	slow := silence > 0 && took > silence/quickShare && took > slowFactor*evidence.Usual
	result := ProbeFailed
	if succeeded && !slow {
		result = ProbeSucceeded
	}
	w.results = append(w.results, result)
	w.fleet.rouse()
}

// Remove is called by steadyhttp.
func (w *watch) Remove() {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	w.fleet.remove(w.key, w)
}

// hear takes in a word, unless it is older than what is known.
func (w *watch) hear(word Word) {
	now := w.fleet.now()
	w.mu.Lock()
	known := word.Gen < w.word.Gen && now-w.heard < forgetGen
	if known || w.fleet.closed.Load() {
		w.mu.Unlock()
		return
	}
	news := word.Gen != w.word.Gen
	w.word, w.heard = word, now
	if news {
		w.enter(now)
	}
	w.mu.Unlock()
	if !news {
		return
	}
	if word.Phase == Recovery {
		w.breaker.Close()
	}
	w.fleet.rouse()
}

// enter begins a phase. w.mu is held.
func (w *watch) enter(now time.Duration) {
	w.began, w.worked, w.leased, w.granted, w.ownProbe = now, false, false, 0, 0
	switch w.word.Phase {
	case Down:
		w.askAt = now + w.firstProbe()
		if rand.Float64() >= firstAskers/float64(max(1, w.word.Voices)) {
			w.askAt += w.turn(0)
		}
	case Recovery:
		w.failures, w.seen, w.results = 0, 0, nil
		w.told = now - rand.N(retellEvery)
	}
}

// forget is for a fleet that is out of reach.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.word.Phase, w.results, w.leased, w.granted = Calm, nil, false, 0
}

// advice is what is in force.
func (w *watch) advice() (Phase, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	phase, until := w.word.Phase, w.heard+trustFor
	switch phase {
	case Alert:
		until = w.began + alertLimit*time.Millisecond
	case Recovery:
		until = w.began + recoverFor*time.Millisecond
	}
	if w.fleet.now() >= until {
		phase = Calm
	}
	return phase, w.fleet.begin.Add(w.began)
}

// step does what is due, and says when it is to be called again at the latest, if ever.
func (w *watch) step(ctx context.Context) (again time.Duration, ok bool) {
	evidence, now := w.breaker.Evidence(), w.fleet.now()
	w.mu.Lock()
	w.learn(evidence)
	gen, results := w.word.Gen, w.results
	w.results = nil
	open := w.bad && w.obeys(evidence)
	var report Report
	var due bool
	if again = now + lookEvery; w.fleet.mayTell(now) {
		report, due, again = w.plan(evidence, now)
	}
	if due {
		w.told, w.failures = now, 0
		w.fleet.told++
	}
	w.mu.Unlock()

	if open {
		w.open()
	}
	for _, result := range results {
		_, _ = w.fleet.tell(ctx, Report{Origin: w.key, Kind: result, Gen: gen})
	}
	if due {
		_, _ = w.fleet.tell(ctx, report)
	}
	return again, again > 0
}

// learn keeps whether the origin works for this process. w.mu is held.
func (w *watch) learn(evidence steadyhttp.FleetEvidence) {
	switch {
	case evidence.Failing || w.isSlow(evidence):
		w.bad, w.badAt = true, w.succeeded(evidence)
	case w.succeeded(evidence) > w.badAt:
		w.bad = false
	}
}

// succeeded is when the latest success was sent, as the other times are counted.
func (w *watch) succeeded(evidence steadyhttp.FleetEvidence) time.Duration {
	if evidence.Succeeded.IsZero() {
		return math.MinInt64
	}
	return evidence.Succeeded.Sub(w.fleet.begin)
}

func (w *watch) isSlow(evidence steadyhttp.FleetEvidence) bool {
	silence := max(evidence.Silence, milliseconds(w.word.Silence))
	return silence > 0 && evidence.Took >= slowFactor*evidence.Usual && evidence.Took >= silence/slowShare
}

// plan says what is to be told now, and when to look again; 0 is when somebody rouses the fleet. w.mu is held.
func (w *watch) plan(evidence steadyhttp.FleetEvidence, now time.Duration) (r Report, due bool, again time.Duration) {
	r = Report{Origin: w.key, Gen: w.word.Gen, Failures: w.failures, Silence: min(evidence.Silence.Milliseconds(), maxSilence)}
	switch w.word.Phase {
	case Alert:
		if now-w.began < alertLimit*time.Millisecond {
			r.Kind, due = w.planAlert(evidence, now)
			again = now + lookEvery
			break
		}
		fallthrough
	default:
		r.Kind, due, again = w.planCalm(evidence, now)
	case Down:
		again = now + retellEvery
		if !w.isDown() {
			r.Kind, due, again = w.planCalm(evidence, now)
		}
	case Recovery:
		if now-w.began < recoverFor*time.Millisecond {
			r.Kind, due = w.planRecovery(evidence, now)
			again = now + lookEvery
			break
		}
		r.Kind, due, again = w.planCalm(evidence, now)
	}
	return r, due && !w.isSilenced(now), again
}

// isSilenced reports whether the store has asked this process to say nothing, of late: it hears others meanwhile. w.mu is held.
func (w *watch) isSilenced(now time.Duration) bool {
	return w.word.Limit > 0 && w.fleet.rank >= w.word.Limit && now-w.heard < forgetFor*time.Millisecond
}

func (w *watch) planCalm(evidence steadyhttp.FleetEvidence, now time.Duration) (kind Kind, due bool, again time.Duration) {
	switch {
	case w.failures == 0:
		return "", false, 0
	case !evidence.Failing:
		w.failures = 0
		return "", false, 0
	case w.told > 0 && now-w.told < tellEvery:
		return "", false, w.told + tellEvery
	}
	return Failing, true, 0
}

// planAlert tells of a success at once, and once: it is an objection.
func (w *watch) planAlert(evidence steadyhttp.FleetEvidence, now time.Duration) (kind Kind, due bool) {
	switch {
	case w.worked:
		return "", false
	case w.succeeded(evidence) > w.began:
		w.worked = true
		return Working, true
	default:
		return Failing, evidence.Failing && w.failures > 0 && (w.told < w.began || now-w.told >= retellEvery)
	}
}

func (w *watch) planRecovery(evidence steadyhttp.FleetEvidence, now time.Duration) (kind Kind, due bool) {
	succeeded := w.succeeded(evidence) > max(w.seen, w.began)
	switch {
	case now-w.told < retellEvery:
		return "", false
	case evidence.Failing && w.failures > 0:
		return Failing, true
	case succeeded && w.isSlow(evidence):
		kind = Slow
	default:
		kind = Working
	}
	w.seen = w.succeeded(evidence)
	return kind, succeeded
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
