package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// A runner runs tests with a mutant alive.
type runner struct {
	ctx context.Context // of everything it starts
	settings
	folder string        // for what it builds
	binary string        // of the tests, with all the mutants in it that need no build of their own
	limit  time.Duration // of a run of the tests; 0: none
}

// buildWith builds the test binary with these mutants in it.
func (r *runner) buildWith(p *mutatedPackage, mutants []*mutant) (err error) {
	changed := map[string][]byte{"mutant_switch.go": []byte(switchSource(p.name))}
	for _, m := range mutants {
		changed[m.file] = rewrite(p.sources[m.file], p.edits[m.file])
	}
	r.binary, err = r.build("all", changed)
	return err
}

// build compiles the tests with these files in place of the package's own.
func (r *runner) build(name string, changed map[string][]byte) (binary string, err error) {
	folder := filepath.Join(r.folder, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	overlay, err := writeOverlay(folder, changed)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "test")
	command := exec.CommandContext(r.ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, output)
	}
	return binary, nil
}

// writeOverlay writes the changed files, and the file by which the go command takes them for the package's own.
func writeOverlay(folder string, changed map[string][]byte) (path string, err error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, content := range changed {
		original, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		overlay.Replace[original] = filepath.Join(folder, name)
		if err := os.WriteFile(overlay.Replace[original], content, 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// pass runs the tests with a mutant alive, and reports whether they pass.
func (r *runner) pass(binary string, id int, flags ...string) (output []byte, ok bool) {
	ctx := r.ctx
	if r.limit > 0 {
		limited, cancel := context.WithTimeout(ctx, r.limit)
		defer cancel()
		ctx = limited
	}
	command := exec.CommandContext(ctx, binary, append(flags, "-test.failfast", "-test.short")...)
	command.Env = append(os.Environ(), mutantEnv+"="+strconv.Itoa(id))
	var text bytes.Buffer
	command.Stdout, command.Stderr = &text, &text
	command.WaitDelay = time.Second
	err := command.Run()
	return text.Bytes(), err == nil
}

// measure runs tests without a mutant. They must pass, and what they take decides what a mutant may take.
func (r *runner) measure(flags ...string) (output []byte, err error) {
	r.limit = r.timeout
	start := time.Now()
	output, ok := r.pass(r.binary, 0, flags...)
	if !ok {
		return nil, fmt.Errorf("the tests fail without a mutant:\n%s", output)
	}
	if r.limit == 0 {
		r.limit = max(5*time.Second, 5*time.Since(start))
	}
	return output, nil
}

// runAll runs the tests for every mutant, and prints the survivors as they are found.
func (r *runner) runAll(p *mutatedPackage, mutants []*mutant) error {
	if err := r.buildWith(p, mutants); err != nil {
		return err
	}
	if _, err := r.measure(); err != nil {
		return err
	}
	var workers sync.WaitGroup
	queue := make(chan *mutant)
	for range r.workers {
		workers.Go(func() {
			for m := range queue {
				if r.run(m); m.result == survived {
					fmt.Printf("survived: %s (%s:%d)\n", m.key(), m.file, m.line)
				}
			}
		})
	}
	for _, m := range mutants {
		if r.ctx.Err() == nil {
			queue <- m
		}
	}
	close(queue)
	workers.Wait()
	return r.ctx.Err()
}

// run finds out whether the tests that the flags choose kill the mutant.
func (r *runner) run(m *mutant, flags ...string) {
	binary := r.binary
	if m.content != nil {
		var err error
		if binary, err = r.build(fmt.Sprintf("constant%d", m.id), map[string][]byte{m.file: m.content}); err != nil {
			m.result = notBuilt
			return
		}
		defer func() { _ = os.RemoveAll(filepath.Dir(binary)) }()
	}
	m.result = killed
	if r.survives(binary, m.id, flags) {
		m.result = survived
	}
}

func (r *runner) survives(binary string, id int, flags []string) bool {
	if r.slow != "" && len(flags) == 0 {
		if _, ok := r.pass(binary, id, "-test.skip="+r.slow); !ok {
			return false
		}
		flags = []string{"-test.run=" + r.slow}
	}
	_, ok := r.pass(binary, id, flags...)
	return ok
}
