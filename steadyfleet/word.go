package steadyfleet

import (
	"fmt"
	"slices"
)

// A Phase is what a fleet thinks of an origin.
type Phase uint8

const (
	// Calm: nothing is known to be wrong, or no more than a part.
	Calm Phase = iota
	// Alert: some processes see failures. All are asked what they see.
	Alert
	// Down: nothing works, for nobody. Breakers open, and one probe goes for all.
	Down
	// Recovery: a probe succeeded. Breakers close, and it is watched for two seconds whether that was right.
	Recovery
)

var phaseNames = [...]string{Calm: "calm", Alert: "alert", Down: "down", Recovery: "recovery"}

// String returns the phase in lower case, "down" for example.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// MarshalText returns String, so that a phase is text in JSON.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// A Kind is what a [Report] tells or asks.
type Kind string

const (
	Failing        Kind = "failing"         // the last that the process heard of the origin is a failure
	Slow           Kind = "slow"            // successes there, but slow ones
	Working        Kind = "working"         // successes
	AskProbe       Kind = "ask_probe"       // whether it may send the next probe
	ProbeFailed    Kind = "probe_failed"    // the probe failed
	ProbeSucceeded Kind = "probe_succeeded" // the probe succeeded
)

func (k Kind) isVerdict() bool { return slices.Contains([]Kind{Failing, Slow, Working}, k) }

// A Report is what one process tells a [Store] of an origin.
type Report struct {
	Origin   string // a digest of its name
	Kind     Kind
	Process  string // a random name
	Rank     int64  // a random number below 65,536
	Gen      int64  // of the last Word that the process has heard
	Failures int64  // since its last report
	Silence  int64  // how long the last attempt waited that timed out there, in ms; 0: none has
}

// A Word is what a [Store] says of an origin: to all, or to one process that told it something.
type Word struct {
	Origin  string
	Gen     int64 // grows with each change of the phase
	Phase   Phase
	Limit   int64 // only processes of a lower rank are asked to report
	Voices  int64 // how many processes make calls, about
	Silence int64 // the longest of the reports, in ms
	Granted bool  // whether the process may probe,
	Wait    int64 // or in how many ms to ask again
}

// String is the word as it is sent.
func (w Word) String() string {
	granted := 0
	if w.Granted {
		granted = 1
	}
	return fmt.Sprint(w.Origin, " ", w.Gen, " ", uint8(w.Phase), " ", w.Limit, " ", w.Voices, " ", w.Silence, " ", granted, " ", w.Wait)
}

// ParseWord reads what String wrote. Fields that a later version adds behind are ignored. The
// error is for what is no word, and for numbers out of all reason.
func ParseWord(text string) (w Word, err error) {
	var phase uint8
	var granted int64
	if _, err := fmt.Sscan(text, &w.Origin, &w.Gen, &phase, &w.Limit, &w.Voices, &w.Silence, &granted, &w.Wait); err != nil {
		return Word{}, fmt.Errorf("steadyfleet: %.100q is no word of a store: %w", text, err)
	}
	w.Phase, w.Granted = Phase(phase), granted == 1
	return w, w.check()
}

// The most that is believed of a number: a store may hold what somebody else wrote there.
const (
	maxGen     = 1 << 52 // which Lua's numbers can count to
	maxCount   = 1 << 31
	maxSilence = 3_600_000 // ms
)

func (w Word) check() error {
	for _, n := range []struct{ value, most int64 }{
		{int64(w.Phase), int64(len(phaseNames)) - 1}, {w.Gen, maxGen}, {w.Limit, maxRank}, {w.Voices, maxCount}, {w.Silence, maxSilence}, {w.Wait, maxSilence},
	} {
		if n.value < 0 || n.value > n.most {
			return fmt.Errorf("steadyfleet: %.100q is no word of a store: %d is out of range", w, n.value)
		}
	}
	return nil
}
