package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A fate is what became of a mutant.
type fate int

const (
	unbuilt fate = iota // it does not compile
	noticed
	survived
)

// A mutant is one small change.
type mutant struct {
	id       int
	file     string
	line     int
	function string
	what     string // was done
	source   string // to what
	nth      int    // of those in the function that read the same
	replaced []byte // the file's new content, for one that needs a build; else nil
	fate     fate
}

// name stays the same when lines move.
func (m *mutant) name() string {
	name := fmt.Sprintf("%s %s: %s: %s", m.file, m.function, m.what, m.source)
	if m.nth > 1 {
		name += fmt.Sprintf(" (%d)", m.nth)
	}
	return name
}

// An edit puts a text in the place of another. Those that start at the same place are in their order.
type edit struct {
	from, to int
	text     string
}

// A brood is the mutants of a package.
type brood struct {
	packageName string
	sources     map[string][]byte
	edits       map[string][]edit
	mutants     []*mutant
	names       map[string]int
}

// here is the path by which the package's own types are known.
const here = "here"

// breed finds what can be changed in the files.
func breed(files []string) (*brood, error) {
	b := &brood{sources: map[string][]byte{}, edits: map[string][]edit{}, names: map[string]int{}}
	set := token.NewFileSet()
	all, err := filepath.Glob("*.go")
	if err != nil {
		return nil, err
	}
	var parsed []*ast.File
	for _, name := range all {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
	}
	known := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	checker := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	if _, err := checker.Check(here, set, parsed, known); err != nil {
		return nil, err
	}
	for _, file := range parsed {
		name := set.File(file.Pos()).Name()
		if !slices.Contains(files, name) {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		b.packageName = file.Name.Name
		b.sources[name] = source
		f := &field{brood: b, set: set, types: known, name: name, source: source}
		f.file(file)
	}
	return b, nil
}

// A field is a file in which mutants grow.
type field struct {
	*brood
	set      *token.FileSet
	types    *types.Info
	name     string
	source   []byte
	function string
	path     []ast.Node // from the file down to the node
}

func (f *field) file(file *ast.File) {
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			f.function = functionName(declaration)
			f.walk(declaration.Body)
		case *ast.GenDecl:
			f.values(declaration)
		}
	}
}

func functionName(declaration *ast.FuncDecl) string {
	name := declaration.Name.Name
	if declaration.Recv == nil {
		return name
	}
	receiver := declaration.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	return receiver.(*ast.Ident).Name + "." + name
}

// values looks at what is declared outside of functions.
func (f *field) values(declaration *ast.GenDecl) {
	switch declaration.Tok {
	case token.CONST:
		f.constants(declaration)
	case token.VAR:
		for _, spec := range declaration.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, value := range spec.Values {
				f.function = spec.Names[i].Name
				f.walk(value)
			}
		}
	}
}

// constants makes each numeric constant twice as large. A constant cannot hang on the environment.
func (f *field) constants(declaration *ast.GenDecl) {
	for _, spec := range declaration.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, value := range spec.Values {
			f.function = spec.Names[i].Name
			if !f.isNumber(value) || strings.Contains(f.text(value), "iota") {
				continue
			}
			m := f.mutant(value, "doubled")
			from, to := f.offset(value.Pos()), f.offset(value.End())
			m.replaced = rewrite(f.source, []edit{{from, to, "2*(" + f.text(value) + ")"}})
		}
	}
}

// walk finds the mutants below a node. An outer one's edits come before an inner one's.
func (f *field) walk(root ast.Node) {
	ast.Inspect(root, func(node ast.Node) bool {
		if node == nil {
			f.path = f.path[:len(f.path)-1]
			return true
		}
		if f.isFixed(node) {
			return false
		}
		f.visit(node)
		f.path = append(f.path, node)
		return true
	})
}

// isFixed reports whether the language wants a constant or a type there.
func (f *field) isFixed(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.GenDecl:
		return node.Tok == token.CONST
	case *ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.InterfaceType:
		return true
	case ast.Expr:
		if pair, ok := f.parent(0).(*ast.KeyValueExpr); ok && pair.Key == node {
			return true
		}
		clause, ok := f.parent(0).(*ast.CaseClause)
		return ok && slices.Contains(clause.List, node) && !f.isTagless()
	default:
		return false
	}
}

func (f *field) parent(up int) ast.Node {
	if up >= len(f.path) {
		return nil
	}
	return f.path[len(f.path)-1-up]
}

// isTagless reports whether the clause around the node is one of a switch over conditions.
func (f *field) isTagless() bool {
	choice, ok := f.parent(2).(*ast.SwitchStmt)
	return ok && choice.Tag == nil
}

func (f *field) visit(node ast.Node) {
	if text, ok := node.(ast.Expr); ok && f.isCompared(text) {
		f.around(text, fmt.Sprintf("other(%d, ", f.mutant(text, "another text").id), ")")
		return
	}
	switch node := node.(type) {
	case ast.Stmt:
		f.statement(node)
	case *ast.BinaryExpr:
		f.condition(node)
		f.binary(node)
	case *ast.BasicLit:
		f.literal(node)
	case ast.Expr:
		f.condition(node)
	}
}

// isCompared reports whether the node is a text that others are compared with: an operand, or one of a list.
func (f *field) isCompared(node ast.Expr) bool {
	if !f.isConstant(node) || !f.isOf(node, types.IsString) {
		return false
	}
	switch parent := f.parent(0).(type) {
	case *ast.BinaryExpr:
		return parent.Op == token.EQL || parent.Op == token.NEQ
	case *ast.CompositeLit:
		return slices.Contains(parent.Elts, node)
	default:
		return false
	}
}

// statement leaves one out.
func (f *field) statement(node ast.Stmt) {
	switch f.parent(0).(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
	default:
		return
	}
	switch node := node.(type) {
	case *ast.AssignStmt:
		if node.Tok == token.DEFINE {
			return
		}
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
	default:
		return
	}
	if clause, ok := f.parent(0).(*ast.CommClause); ok && clause.Comm == node {
		return
	}
	f.around(node, fmt.Sprintf("if !is(%d) { ", f.mutant(node, "left out").id), " }")
}

// condition makes one true, and false, whatever it says.
func (f *field) condition(node ast.Expr) {
	if identifier, ok := node.(*ast.Ident); ok && (identifier.Name == "true" || identifier.Name == "false") && f.isBool(node) {
		f.around(node, fmt.Sprintf("(is(%d) != ", f.mutant(node, "negated").id), ")")
		return
	}
	switch parent := f.parent(0).(type) {
	case *ast.IfStmt:
		if parent.Cond == node {
			f.either(node)
		}
	case *ast.ForStmt:
		if parent.Cond == node {
			f.around(node, fmt.Sprintf("!is(%d) && (", f.mutant(node, "never true").id), ")")
		}
	case *ast.CaseClause:
		if slices.Contains(parent.List, node) && f.isBool(node) {
			f.either(node)
		}
	case *ast.ReturnStmt:
		if _, plain := node.(*ast.BinaryExpr); !plain && f.isBool(node) {
			f.either(node)
		}
	case *ast.BinaryExpr:
		switch parent.Op {
		case token.LAND:
			f.around(node, fmt.Sprintf("(is(%d) || (", f.mutant(node, "taken for true").id), "))")
		case token.LOR:
			f.around(node, fmt.Sprintf("(!is(%d) && (", f.mutant(node, "taken for false").id), "))")
		}
	}
}

func (f *field) either(node ast.Expr) {
	always, never := f.mutant(node, "always true"), f.mutant(node, "never true")
	f.around(node, fmt.Sprintf("is(%d) || !is(%d) && (", always.id, never.id), ")")
}

// binary changes what an operator does.
func (f *field) binary(node *ast.BinaryExpr) {
	if f.isConstant(node) {
		return
	}
	a, b := f.text(node.X), f.text(node.Y)
	switch node.Op {
	case token.EQL, token.NEQ:
		f.around(node, fmt.Sprintf("(is(%d) != (", f.mutant(node, "negated").id), "))")
	case token.LSS, token.GTR:
		negated, moved := f.mutant(node, "negated"), f.mutant(node, "with its bound")
		f.around(node, fmt.Sprintf("(is(%d) != ((", negated.id), fmt.Sprintf(") || is(%d) && (%s) == (%s)))", moved.id, a, b))
	case token.LEQ, token.GEQ:
		negated, moved := f.mutant(node, "negated"), f.mutant(node, "without its bound")
		f.around(node, fmt.Sprintf("(is(%d) != ((", negated.id), fmt.Sprintf(") && !(is(%d) && (%s) == (%s))))", moved.id, a, b))
	case token.ADD, token.SUB, token.MUL, token.QUO, token.REM:
		if f.isNumber(node) {
			f.arithmetic(node)
		}
	}
}

var opposites = map[token.Token]string{
	token.ADD: "plus", token.SUB: "minus", token.MUL: "times", token.QUO: "over", token.REM: "modulo",
}

// arithmetic gives an operator's work to a function that may do the opposite.
func (f *field) arithmetic(node *ast.BinaryExpr) {
	m := f.mutant(node, "with another operator than "+node.Op.String())
	f.around(node, fmt.Sprintf("%s(%d, (", opposites[node.Op], m.id), "))")
	at := f.offset(node.OpPos)
	f.edits[f.name] = append(f.edits[f.name], edit{at, at + len(node.Op.String()), "), ("})
}

// literal makes a number larger by one.
func (f *field) literal(node *ast.BasicLit) {
	if !f.isNumber(node) {
		return
	}
	if parent, ok := f.parent(0).(ast.Expr); ok && f.isConstant(parent) {
		return
	}
	kind := types.TypeString(f.types.Types[node].Type, func(other *types.Package) string {
		if other.Path() == here {
			return ""
		}
		return other.Path()
	})
	switch {
	case kind == "time.Duration":
		kind = "[aDuration]"
	case strings.HasPrefix(kind, "untyped") || strings.Contains(kind, "."):
		kind = "" // what is inferred
	default:
		kind = "[" + kind + "]"
	}
	f.around(node, fmt.Sprintf("more%s(%d, ", kind, f.mutant(node, "plus 1").id), ")")
}

func (f *field) mutant(node ast.Node, what string) *mutant {
	m := &mutant{
		id: len(f.mutants) + 1, file: f.name, line: f.set.Position(node.Pos()).Line, function: f.function, what: what,
		source: strings.Join(strings.Fields(f.text(node)), " "),
	}
	f.names[m.name()]++
	m.nth = f.names[m.name()]
	f.mutants = append(f.mutants, m)
	return m
}

// around puts texts before and behind a node.
func (f *field) around(node ast.Node, before, behind string) {
	from, to := f.offset(node.Pos()), f.offset(node.End())
	f.edits[f.name] = append(f.edits[f.name], edit{from, from, before}, edit{to, to, behind})
}

func (f *field) offset(position token.Pos) int { return f.set.Position(position).Offset }

func (f *field) text(node ast.Node) string {
	return string(f.source[f.offset(node.Pos()):f.offset(node.End())])
}

func (f *field) isConstant(node ast.Expr) bool { return f.types.Types[node].Value != nil }

func (f *field) isNumber(node ast.Expr) bool { return f.isOf(node, types.IsNumeric) }

func (f *field) isBool(node ast.Expr) bool { return f.isOf(node, types.IsBoolean) }

func (f *field) isOf(node ast.Expr, kind types.BasicInfo) bool {
	found := f.types.Types[node].Type
	if found == nil {
		return false
	}
	basic, ok := found.Underlying().(*types.Basic)
	return ok && basic.Info()&kind != 0
}

// rewrite carries edits out. Of insertions at one place, those in front of a node are in their order, outer ones
// first; those behind one are the other way round, and come before.
func rewrite(source []byte, edits []edit) []byte {
	type placed struct {
		edit
		order int
	}
	var all []placed
	for i, e := range edits {
		order := i
		if behind := strings.HasPrefix(e.text, ")") || strings.HasPrefix(e.text, " }"); behind && e.from == e.to {
			order = -i - 1
		}
		all = append(all, placed{e, order})
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.order, b.order))
	})
	var out []byte
	at := 0
	for _, e := range all {
		out = append(out, source[at:e.from]...)
		out = append(out, e.text...)
		at = e.to
	}
	return append(out, source[at:]...)
}

// switchboard is the code by which a mutant comes alive.
func switchboard(packageName string) string {
	return `package ` + packageName + `

import (
	"os"
	"strconv"
	"time"
)

// aDuration has a name in files that do not import time.
type aDuration = time.Duration

var alive, _ = strconv.Atoi(os.Getenv("` + chosen + `"))

func is(id int) bool { return alive == id }

type number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

func other[T ~string](id int, text T) T {
	if is(id) {
		return text + "?"
	}
	return text
}

func more[T number](id int, n T) T {
	if is(id) {
		return n + 1
	}
	return n
}

func plus[T number](id int, a, b T) T {
	if is(id) {
		return a - b
	}
	return a + b
}

func minus[T number](id int, a, b T) T {
	if is(id) {
		return a + b
	}
	return a - b
}

func times[T number](id int, a, b T) T {
	if is(id) {
		return a / b
	}
	return a * b
}

func over[T number](id int, a, b T) T {
	if is(id) {
		return a * b
	}
	return a / b
}

func modulo[T interface{ ~int | ~int32 | ~int64 | ~uint32 | ~uint64 }](id int, a, b T) T {
	if is(id) {
		return a * b
	}
	return a % b
}
`
}
