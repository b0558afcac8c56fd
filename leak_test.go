package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A goroutine inherits the labels of the one that starts it, so that a test's are known by its name, and
// those of the runtime by having none. In a synctest bubble nothing can be left: it would not end.
const leakLabel = "test"

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	labelGoroutine("(one that makes no Transport)")
	code := m.Run()
	if code == 0 && !isFuzzing() {
		code = reportLeaks()
	}
	os.Exit(code)
}

// isFuzzing has goroutines of its own.
func isFuzzing() bool { return flag.Lookup("test.fuzz").Value.String() != "" }

func reportLeaks() int {
	pprof.SetGoroutineLabels(context.Background())
	left := leakedGoroutines(leakLabel, 5*time.Second)
	if len(left) == 0 {
		return 0
	}
	fmt.Printf("FAIL: tests left goroutines behind\n\n%s\n", strings.Join(left, "\n\n"))
	return 1
}

// leakedGoroutines are the goroutines with a text among their labels, once they have had some time to end.
func leakedGoroutines(text string, timeout time.Duration) (left []string) {
	for deadline := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		if left = goroutinesOf(text); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func goroutinesOf(text string) (found []string) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		panic(err)
	}
	for _, stack := range strings.Split(profile.String(), "\n\n") {
		for _, line := range strings.Split(stack, "\n") {
			if strings.HasPrefix(line, "# labels: ") && strings.Contains(line, fmt.Sprintf("%q", text)) {
				found = append(found, stack)
			}
		}
	}
	return found
}

func TestLeak_GoroutineThatIsLeftBehindIsFound(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	go func() {
		labelGoroutine(t.Name())
		go func() { <-end }() // inherits it
		<-end
	}()
	require.Eventually(t, func() bool { return len(goroutinesOf(t.Name())) == 2 }, 5*time.Second, time.Millisecond)
	close(end)
	assert.Empty(t, leakedGoroutines(t.Name(), 5*time.Second))
}

// underRace is whether the race detector watches, under which a call takes twenty times as long.
var underRace bool

// Not parallel: the heap is everybody's.
func TestLeak_HeapIsTheSameAfterAMillionCalls(t *testing.T) {
	most, err := http.NewRequest(http.MethodGet, targetURL, nil)
	require.NoError(t, err)
	all := append(newRequestsToOrigins(t, 1000), most)
	transport := newTransport(t, newFlakyBase(), steadyhttp.WithOriginLimit(64), steadyhttp.WithBackoff(1, 1), steadyhttp.WithoutRetryBudget())
	rich := newTransport(t, newFlakyBase(), append(requestChangingOptions(), steadyhttp.WithOriginLimit(64), steadyhttp.WithBackoff(1, 1))...)
	longLived, cancel := context.WithCancel(t.Context()) // it would hold on to the contexts of attempts
	defer cancel()
	play := func(calls int) {
		for i := range calls {
			r := most
			if i%4 == 0 {
				r = all[i/4%len(all)]
			}
			callAndClose(transport, r)
			if i%50 == 0 {
				ctx, _ := steadyhttp.WithReport(longLived)
				callAndClose(rich, r.WithContext(ctx))
			}
		}
	}
	play(50_000)
	calls := 1_000_000
	if underRace {
		calls = 50_000
	}
	before := heapSize()
	play(calls)
	assert.Less(t, heapSize()-before, int64(64<<10), "bytes that %d calls have left", calls)
	assert.LessOrEqual(t, len(transport.Breakers()), 64)
}

func newRequestsToOrigins(t *testing.T, n int) (requests []*http.Request) {
	for i := range n {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://host-%d.example.com/", i), nil)
		require.NoError(t, err)
		requests = append(requests, r)
	}
	return requests
}

// newFlakyBase fails, in each of the ways that leave something to be tidied up.
func newFlakyBase() http.RoundTripper {
	sent := 0
	return baseFunc{func(r *http.Request) (*http.Response, error) {
		sent++
		switch sent % 500 {
		case 0:
			return &http.Response{StatusCode: 503, Body: newTrackedBody("unavailable")}, nil
		case 64:
			return nil, errReset
		case 128:
			return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
		case 192:
			return nil, r.Context().Err()
		case 193:
			return nil, fmt.Errorf("a cause: %w", errors.New("of its own"))
		case 1, 2, 3, 4, 5, 6, 7, 8:
			return &http.Response{StatusCode: 200, Body: newTrackedBody("fine")}, nil
		default:
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}
	}}
}
