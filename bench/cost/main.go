// Command cost measures what a call costs through each library, so that a busy machine spoils it as little as can be: each
// figure is the processor time of a process of its own, not the time that went by; the libraries take turns; and of the
// rounds the least, the median and the most are shown. Run it in the directory bench:
//
//	go run ./cost -bench RoundTrip
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// bare is http.Client alone: the difference to it is what a library adds. In a benchmark of retries or of rejections it takes
// no part: there all of the call's time is shown.
const bare = "no retries"

// A plan says what is measured.
type plan struct {
	bench         string
	calls, rounds int
	processors    int
	libraries     []string
}

// A cost is what one library's calls took, in nanoseconds of processor time each, by rounds.
type cost struct {
	library     string
	took        []float64
	allocations string // a call
}

var errNotMeasured = errors.New("not measured")

func main() {
	p := plan{libraries: names()}
	flag.StringVar(&p.bench, "bench", "RoundTrip", "the benchmark: RoundTrip, Success, Parallel, Retry, Rejection, Post or Origins")
	flag.IntVar(&p.calls, "calls", 1_000_000, "calls of each library in each round")
	flag.IntVar(&p.rounds, "rounds", 10, "rounds")
	flag.IntVar(&p.processors, "cpu", 1, "GOMAXPROCS")
	only := flag.String("only", "", "measure these libraries alone: a regular expression")
	flag.Parse()
	if err := run(os.Stdout, p.only(*only)); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

// names are those of the libraries, and of the benchmarks' variants of steadyhttp.
func names() (all []string) {
	for _, library := range peers.All(peers.Setup{}) {
		all = append(all, library.Name)
	}
	return append(all, "steadyhttp, limit 10000")
}

// only keeps those that match, and http.Client alone.
func (p plan) only(pattern string) plan {
	wanted := regexp.MustCompile(pattern)
	p.libraries = slices.DeleteFunc(p.libraries, func(name string) bool { return name != bare && !wanted.MatchString(name) })
	return p
}

func run(out io.Writer, p plan) error {
	directory, err := os.MkdirTemp("", "cost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	binary := filepath.Join(directory, "bench.test")
	if output, err := exec.Command("go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	costs, err := p.measure(binary)
	if err != nil {
		return err
	}
	if len(costs) == 0 {
		return fmt.Errorf("no library takes part in Benchmark%s", p.bench)
	}
	printCosts(out, costs)
	return nil
}

// measure lets the libraries take turns.
func (p plan) measure(binary string) ([]cost, error) {
	costs := make([]cost, len(p.libraries))
	for range p.rounds {
		for i, library := range p.libraries {
			took, allocations, err := p.measureOne(binary, library)
			if errors.Is(err, errNotMeasured) {
				continue
			}
			if err != nil {
				return nil, err
			}
			costs[i].library, costs[i].allocations = library, allocations
			costs[i].took = append(costs[i].took, took)
		}
	}
	return slices.DeleteFunc(costs, func(c cost) bool { return len(c.took) == 0 }), nil
}

func (p plan) measureOne(binary, library string) (took float64, allocations string, err error) {
	name := regexp.QuoteMeta("library=" + strings.ReplaceAll(library, " ", "_"))
	command := exec.Command(binary, "-test.run", "^$", "-test.benchmem", "-test.cpu", strconv.Itoa(p.processors),
		"-test.benchtime", strconv.Itoa(p.calls)+"x", "-test.bench", "^Benchmark"+p.bench+"$/^"+name+"$")
	output, err := command.CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("%w\n%s", err, output)
	}
	allocations, ok := allocationsIn(output)
	if !ok {
		return 0, "", errNotMeasured // the library takes no part in this benchmark
	}
	spent := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return float64(spent) / float64(time.Nanosecond) / float64(p.calls), allocations, nil
}

var allocationsPattern = regexp.MustCompile(`(\d+) allocs/op`)

func allocationsIn(output []byte) (allocations string, ok bool) {
	found := allocationsPattern.FindSubmatch(bytes.TrimSpace(output))
	if found == nil {
		return "", false
	}
	return string(found[1]), true
}

// added is what the library adds to http.Client alone in the same round.
func (c cost) added(alone cost) []float64 {
	added := slices.Clone(c.took)
	for i := range added {
		added[i] -= alone.took[i]
	}
	slices.Sort(added)
	return added
}

func printCosts(out io.Writer, costs []cost) {
	alone := cost{took: make([]float64, len(costs[0].took))}
	if i := slices.IndexFunc(costs, func(c cost) bool { return c.library == bare }); i >= 0 {
		alone = costs[i]
	}
	fmt.Fprintln(out, "| adds to http.Client's | least | median | most | allocations in all |\n| --- | --- | --- | --- | --- |")
	for _, c := range costs {
		added := c.added(alone)
		if c.library == bare {
			added = slices.Sorted(slices.Values(c.took))
		}
		fmt.Fprintf(out, "| %s | %.0f ns | %.0f ns | %.0f ns | %s |\n", c.library, added[0], median(added), added[len(added)-1], c.allocations)
	}
}

// median is of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
