package steadydebug

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"html/template"
	"sync"
	"time"
)

var (
	//go:embed page.html
	pageSource string
	//go:embed style.css
	style template.CSS
	//go:embed script.js
	script template.JS
)

// pageTemplate is parsed when somebody asks for the page, and not in every program that imports the package.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageSource))
})

// contentSecurityPolicy allows the page its own style, script and forms, and nothing else. No other page may frame it.
var contentSecurityPolicy = sync.OnceValue(func() string {
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src data:; connect-src 'self'; form-action 'self'" +
		"; style-src " + hashSource(string(style)) + "; script-src " + hashSource(string(script))
})

// hashSource is that of Content Security Policy Level 3 §2.3.1.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// A view is what the template gets. Its methods are words.
type view struct {
	snapshot
	Writable bool
}

func (s snapshot) html(writable bool) ([]byte, error) {
	var page bytes.Buffer
	err := pageTemplate().Execute(&page, view{s, writable})
	return page.Bytes(), err
}

func (v view) Style() template.CSS { return style }
func (v view) Script() template.JS { return script }
func (v view) Headline() string    { return v.headline() }
func (v view) Machine() string     { return v.Time.Format(time.RFC3339) }
func (v view) Words() string       { return v.Time.Format(wordsTime) }

func (v view) Tables() (tables []table) {
	for _, t := range v.Transports {
		tables = append(tables, table{t, v})
	}
	return tables
}

// A table is one transport's.
type table struct {
	transport
	view view
}

func (t table) Settings() []setting { return t.settings() }

func (t table) Rows() (rows []row) {
	for _, o := range t.worstFirst() {
		rows = append(rows, row{o, t})
	}
	return rows
}

func (t table) FleetWords() string { return t.Fleet.words() }

func (t table) Advice() (words []string) {
	for _, a := range t.Fleet.Advice {
		words = append(words, a.words(t.view.Time))
	}
	return words
}

// Base is the last setting: it tells transports apart.
func (t table) Base() string {
	settings := t.settings()
	return settings[len(settings)-1].Text
}

// Changed are the other settings, where they are not the default.
func (t table) Changed() (settings []setting) {
	all := t.settings()
	for _, s := range all[:len(all)-1] {
		if !s.IsDefault {
			settings = append(settings, s)
		}
	}
	return settings
}

// A row is one origin's.
type row struct {
	origin
	table table
}

func (r row) ID() string          { return originID(r.table.Index, r.Origin) }
func (r row) Name() string        { return r.name() }
func (r row) Index() int          { return r.table.Index }
func (r row) HasActions() bool    { return r.table.view.Writable && r.Breaker != nil }
func (r row) Mode() string        { return r.Breaker.mode() }
func (r row) Why() string         { return r.Breaker.why() }
func (r row) Since() string       { return r.Breaker.sinceWhen(r.now()) }
func (r row) NextProbe() string   { return r.Breaker.nextProbe(r.now()) }
func (r row) Window() string      { return r.Breaker.window() }
func (r row) BudgetWords() string { return r.budget() }
func (r row) CallsWords() string  { return r.calls() }
func (r row) PauseWords() string  { return r.pause(r.now()) }
func (r row) now() time.Time      { return r.table.view.Time }

// Changes are the newest first: that is what one looks for.
func (r row) Changes() (words []string) {
	for i := len(r.Breaker.Changes) - 1; i >= 0; i-- {
		words = append(words, r.Breaker.Changes[i].words())
	}
	return words
}

// originID is an origin's id in the page: a name may have characters that an id cannot have.
func originID(transport int, name string) string {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return fmt.Sprintf("o%d-%x", transport, sum.Sum64())
}
