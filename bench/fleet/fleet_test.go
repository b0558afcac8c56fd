package fleet

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

var (
	table    = flag.Bool("table", false, "print the table of all libraries, which takes minutes")
	only     = flag.String("scenario", "", "only scenarios whose name contains this")
	against  = flag.String("library", "", "only libraries whose name contains this")
	clientsN = flag.Int("clients", 0, "one fleet of this size, in place of 50, 200 and 1000")
)

func sizes() []int {
	if *clientsN > 0 {
		return []int{*clientsN}
	}
	return []int{50, 200, 1000}
}

func play(t *testing.T, s setting, c scenario, l peers.Library) (r result) {
	synctest.Test(t, func(*testing.T) { r = simulate(s, c, l) })
	return r
}

// A blip of half a second is what retries are for.
func TestBlipCostsAFleetOf200LessThanOneCallInAHundred(t *testing.T) {
	r := play(t, defaults(), scenarios[0], peers.Steady())
	if r.during() < 0.99 || r.after() < 0.99 {
		t.Errorf("%.4f of the calls succeeded during the blip, %.4f after it", r.during(), r.after())
	}
}

func TestTable(t *testing.T) {
	if !*table {
		return
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "scenario\tclients\tlibrary\tbefore\tduring\tafter\tload\tpeak\tback in")
	for _, c := range scenarios {
		if !strings.Contains(c.name, *only) {
			continue
		}
		for _, size := range sizes() {
			for _, l := range peers.All(peers.Setup{}) {
				if l.Real || !strings.Contains(l.Name, *against) {
					continue
				}
				s := defaults()
				s.clients = size
				r := play(t, s, c, l)
				fmt.Fprintf(out, "%s\t%d\t%s\t%.2f %%\t%.2f %%\t%.2f %%\t×%.2f\t×%.2f\t%.1f s\n", c.name, size, l.Name,
					100*r.before(), 100*r.during(), 100*r.after(), r.loadDuring(), r.peak(), r.recovery().Seconds())
			}
		}
		out.Flush()
	}
}
