package steadyhttp_test

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// newSchedule leaves out what would last for ever: a bubble's clock ends in 2262.
func newSchedule(bytes []byte) *schedule { return &schedule{bytes[:min(len(bytes), 1000)]} }

// choose chooses one of several; what comes more than once, comes more often.
func choose[T any](s *schedule, of ...T) T { return of[s.pick(len(of))] }

// explore plays so many random schedules. MODEL_SEED=n plays those of an earlier run again,
// MODEL_SCHEDULE=hex a single one, and MODEL_RUNS=n more or fewer than usual.
func explore(t *testing.T, runs, length int, play func(*testing.T, []byte)) {
	t.Helper()
	if one, err := hex.DecodeString(os.Getenv("MODEL_SCHEDULE")); err == nil && len(one) > 0 {
		play(t, one)
		return
	}
	if underRace { // which forgets no goroutine, and takes a megabyte for twenty schedules
		runs /= 5
	}
	seed := envNumber("MODEL_SEED", rand.Uint64())
	for run := range envNumber("MODEL_RUNS", uint64(runs)) {
		playOne(t, seed, randomBytes(rand.New(rand.NewPCG(seed, run)), length), play)
	}
}

func playOne(t *testing.T, seed uint64, bytes []byte, play func(*testing.T, []byte)) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("replay this schedule:  MODEL_SCHEDULE=%x go test -run '^%s$' .", bytes, t.Name())
			t.Logf("or all of the run's:   MODEL_SEED=%d go test -run '^%s$' .", seed, t.Name())
		}
	}()
	play(t, bytes)
	if t.Failed() {
		t.FailNow()
	}
}

func envNumber(name string, otherwise uint64) uint64 {
	if given, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return given
	}
	return otherwise
}

func randomBytes(random *rand.Rand, most int) []byte {
	bytes := make([]byte, random.IntN(most)+1)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	return bytes
}

// text takes some bytes as they are.
func (s *schedule) text() []byte {
	taken := min(s.pick(32), len(s.rest))
	text := s.rest[:taken]
	s.rest = s.rest[taken:]
	return text
}

// word takes eight bytes as a number.
func (s *schedule) word() uint64 {
	var word [8]byte
	copy(word[:], s.rest)
	s.rest = s.rest[min(8, len(s.rest)):]
	return binary.LittleEndian.Uint64(word[:])
}

func (s *schedule) number() int {
	past31, past32 := int64(math.MaxInt32+1), int64(math.MaxUint32+1) // what an int of 32 bits cannot hold it cuts
	return choose(s, 1, 0, -1, 2, 3, 10, math.MaxInt, math.MinInt, math.MaxInt32, int(past31), int(past32), int(s.word()))
}

func (s *schedule) fraction() float64 {
	return choose(s, 0.5, 0, 1, -0.1, math.Nextafter(1, 2), math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), math.Float64frombits(s.word()))
}

func (s *schedule) duration() time.Duration {
	return choose(s, time.Second, 0, 1, -1, time.Millisecond, 10*time.Millisecond-1, time.Minute, time.Hour, 30*24*time.Hour, math.MaxInt64, math.MaxInt64-1, math.MinInt64, time.Duration(s.word()))
}

// A schedule decides all that happens to a model: a byte for each choice. A random one explores, and the
// fuzzer, which sees what a byte leads to, makes better ones and shorter ones. Once it is used up, every
// choice is the first.
type schedule struct{ rest []byte }

func (s *schedule) done() bool { return len(s.rest) == 0 }

// pick chooses a number below n.
func (s *schedule) pick(n int) int {
	if s.done() {
		return 0
	}
	first := s.rest[0]
	s.rest = s.rest[1:]
	return int(first) % n
}

func (s *schedule) chance(percent int) bool { return s.pick(100) >= 100-percent }
