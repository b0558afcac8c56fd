// Command mutate breaks a package on purpose, in one small way after the other, and tells which of them no
// test notices.
//
// All mutants are compiled into one test binary, and a variable of the environment says which of them is
// alive, so a mutant costs one run of the tests and no build. Only constants need a build each. A mutant
// that survives is a missing test, or changes nothing: those that change nothing are listed in a file, with
// the reason, and one that is not listed there makes the command fail.
//
// Run it in the package's folder, with the names of files; or let it verify that the tests that a document names
// notice the mutants which stand beside them:
//
//	mutate -known docs/proof.md classify.go retry.go
//	mutate -claims docs/proof.md *.go
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const chosen = "MUTANT" // which mutant is alive

// A settings is what the flags say.
type settings struct {
	claims  string
	known   string
	workers int
	timeout time.Duration
	only    string
	slow    string
	list    bool
	least   float64
	files   []string
}

func main() {
	var s settings
	flag.StringVar(&s.claims, "claims", "", "a `file` whose claims are verified, each test with each mutant, and nothing else")
	flag.StringVar(&s.known, "known", "", "a `file` that names the mutants that change nothing")
	flag.IntVar(&s.workers, "workers", 2, "how many mutants run at once")
	flag.DurationVar(&s.timeout, "timeout", 0, "after which a run counts as noticed; 0: five times as long as one without a mutant takes")
	flag.StringVar(&s.only, "only", "", "run just the mutants whose name contains this")
	flag.StringVar(&s.slow, "slow", "", "tests that match this `regexp` run only over mutants that the others do not notice")
	flag.BoolVar(&s.list, "list", false, "name the mutants, and run none")
	flag.Float64Var(&s.least, "least", 95, "`percent` of each file's mutants that have to be noticed")
	flag.Parse()
	s.files = flag.Args()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l := laboratory{ctx: ctx, settings: s, folder: folder}
	if s.claims != "" {
		return l.verify()
	}
	mutants, err := l.experiment()
	if err != nil || s.list {
		return err
	}
	return l.judge(mutants)
}

// A laboratory runs the tests over mutants.
type laboratory struct {
	ctx context.Context // of the whole
	settings
	folder string
	binary string // with all the mutants that need no build of their own
}

// experiment finds out what becomes of each mutant.
func (l *laboratory) experiment() ([]*mutant, error) {
	all, err := breed(l.files)
	if err != nil {
		return nil, err
	}
	mutants := slices.DeleteFunc(all.mutants, func(m *mutant) bool { return !strings.Contains(m.name(), l.only) })
	if len(mutants) == 0 {
		return nil, errors.New("no mutants; name the files to mutate")
	}
	if l.list {
		for _, m := range mutants {
			fmt.Println(m.name())
		}
		return nil, nil
	}
	if err := l.prepare(all); err != nil {
		return nil, err
	}
	l.examine(mutants)
	return mutants, l.ctx.Err()
}

// prepare builds, and sees the tests pass while no mutant is alive.
func (l *laboratory) prepare(all *brood) error {
	mutated := map[string][]byte{"mutant_switch.go": []byte(switchboard(all.packageName))}
	for name, source := range all.sources {
		mutated[name] = rewrite(source, all.edits[name])
	}
	binary, err := l.build("all", mutated)
	if err != nil {
		return err
	}
	l.binary = binary
	start := time.Now()
	if output, ok := l.pass(binary, 0); !ok {
		return fmt.Errorf("the tests fail without a mutant:\n%s", output)
	}
	if l.timeout == 0 {
		l.timeout = max(5*time.Second, 5*time.Since(start))
	}
	return nil
}

// build compiles the tests with some files in the place of others.
func (l *laboratory) build(name string, replaced map[string][]byte) (binary string, err error) {
	folder := filepath.Join(l.folder, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, content := range replaced {
		place := filepath.Join(folder, file)
		original, err := filepath.Abs(file)
		if err == nil {
			err = os.WriteFile(place, content, 0o600)
		}
		if err != nil {
			return "", err
		}
		overlay.Replace[original] = place
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	overlayFile := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlayFile, list, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "test")
	output, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlayFile, "-o", binary, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, output)
	}
	return binary, nil
}

// pass runs the tests, and reports whether they pass.
func (l *laboratory) pass(binary string, id int, flags ...string) (output []byte, ok bool) {
	ctx := l.ctx
	if l.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		ctx = limited
	}
	command := exec.CommandContext(ctx, binary, append(flags, "-test.failfast", "-test.short")...)
	command.Env = append(os.Environ(), chosen+"="+strconv.Itoa(id))
	var text bytes.Buffer
	command.Stdout, command.Stderr = &text, &text
	command.WaitDelay = time.Second
	err := command.Run()
	return text.Bytes(), err == nil
}

// examine runs every mutant, and tells of the survivors as they are found.
func (l *laboratory) examine(mutants []*mutant) {
	var workers sync.WaitGroup
	queue := make(chan *mutant)
	for range l.workers {
		workers.Go(func() {
			for m := range queue {
				l.runOne(m)
			}
		})
	}
	for _, m := range mutants {
		if l.ctx.Err() == nil {
			queue <- m
		}
	}
	close(queue)
	workers.Wait()
}

func (l *laboratory) runOne(m *mutant, flags ...string) {
	binary := l.binary
	if m.replaced != nil {
		var err error
		if binary, err = l.build(fmt.Sprintf("constant%d", m.id), map[string][]byte{m.file: m.replaced}); err != nil {
			m.fate = unbuilt
			return
		}
		defer func() { _ = os.RemoveAll(filepath.Dir(binary)) }()
	}
	m.fate = noticed
	if l.survives(binary, m.id, flags) {
		m.fate = survived
		fmt.Printf("survived: %s (%s:%d)\n", m.name(), m.file, m.line)
	}
}

func (l *laboratory) survives(binary string, id int, flags []string) bool {
	if l.slow != "" && len(flags) == 0 {
		if _, ok := l.pass(binary, id, "-test.skip="+l.slow); !ok {
			return false
		}
		flags = []string{"-test.run=" + l.slow}
	}
	_, ok := l.pass(binary, id, flags...)
	return ok
}

// judge sums up, and fails if a survivor is not known to change nothing.
func (l *laboratory) judge(mutants []*mutant) error {
	known, err := readProof(l.known)
	if err != nil {
		return err
	}
	var problems []error
	byFile := map[string]*score{}
	for _, m := range mutants {
		count := byFile[m.file]
		if count == nil {
			count = &score{file: m.file}
			byFile[m.file] = count
		}
		equivalent := known.equivalent[m.name()]
		count.add(m, equivalent)
		switch {
		case m.fate == survived && !equivalent:
			problems = append(problems, fmt.Errorf("nobody notices %s (%s:%d)", m.name(), m.file, m.line))
		case m.fate == noticed && equivalent:
			fmt.Printf("%s is said to change nothing, but a test failed with it, perhaps by chance (%s:%d)\n", m.name(), m.file, m.line)
		}
	}
	fmt.Printf("%-16s %8s %8s %8s %8s\n", "file", "mutants", "noticed", "change", "of all")
	fmt.Printf("%-16s %8s %8s %8s %8s\n", "", "", "", "nothing", "others")
	for _, file := range slices.SortedFunc(maps.Values(byFile), func(a, b *score) int { return cmp.Compare(a.file, b.file) }) {
		fmt.Println(file)
		if file.share() < l.least {
			problems = append(problems, fmt.Errorf("%s: less than %g %% noticed", file.file, l.least))
		}
	}
	return errors.Join(problems...)
}

// A score is what became of a file's mutants.
type score struct {
	file                         string
	all, noticed, changesNothing int
}

func (s *score) add(m *mutant, equivalent bool) {
	switch {
	case m.fate == unbuilt:
		return // it is no Go
	case m.fate == noticed:
		s.noticed++
	case equivalent:
		s.changesNothing++
	}
	s.all++
}

// share is the percentage of the mutants that change something which are noticed.
func (s *score) share() float64 {
	if s.all == s.changesNothing {
		return 100
	}
	return 100 * float64(s.noticed) / float64(s.all-s.changesNothing)
}

func (s *score) String() string {
	return fmt.Sprintf("%-16s %8d %8d %8d %7.1f%%", s.file, s.all, s.noticed, s.changesNothing, s.share())
}
