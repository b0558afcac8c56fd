package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// A mutatedPackage is a package and all its mutants.
type mutatedPackage struct {
	name    string
	sources map[string][]byte // of its files, unchanged
	edits   map[string][]edit // which put all the mutants into them
	mutants []*mutant
	keys    map[string]int // how many mutants have the same key, but for the number at its end
}

// ownPath is the path by which the package's own types are known.
const ownPath = "own"

// generate finds the mutants of the package in the current folder.
func generate() (*mutatedPackage, error) {
	p := &mutatedPackage{sources: map[string][]byte{}, edits: map[string][]edit{}, keys: map[string]int{}}
	set := token.NewFileSet()
	parsed, err := parseFolder(set)
	if err != nil {
		return nil, err
	}
	exports, err := newImporter(set)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	checker := types.Config{Importer: exports}
	if _, err := checker.Check(ownPath, set, parsed, info); err != nil {
		return nil, err
	}
	for _, file := range parsed {
		name := set.File(file.Pos()).Name()
		p.name = file.Name.Name
		if p.sources[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
		g := &generator{mutatedPackage: p, set: set, types: info, name: name, source: p.sources[name]}
		g.file(file)
	}
	return p, nil
}

// in returns the mutants of these files, or all if there are none.
func (p *mutatedPackage) in(files []string) (found []*mutant, err error) {
	for _, file := range files {
		if p.sources[file] == nil {
			return nil, fmt.Errorf("%s is no file of the package", file)
		}
	}
	for _, m := range p.mutants {
		if len(files) == 0 || slices.Contains(files, m.file) {
			found = append(found, m)
		}
	}
	return found, nil
}

// parseFolder reads the package's files, but not its tests, and none that is for another system.
func parseFolder(set *token.FileSet) (parsed []*ast.File, err error) {
	folder, err := build.ImportDir(".", 0)
	if err != nil {
		return nil, err
	}
	for _, name := range folder.GoFiles {
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
	}
	return parsed, nil
}

// newImporter reads what the compiler has written down of the packages that are imported, which takes a tenth of
// the time of reading their source.
func newImporter(set *token.FileSet) (types.Importer, error) {
	command := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", command, err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(output)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	return importer.ForCompiler(set, "gc", open), nil
}

// A generator finds the mutants of one file.
type generator struct {
	*mutatedPackage
	set      *token.FileSet
	types    *types.Info
	name     string
	source   []byte
	function string     // or variable or constant, in which it is
	path     []ast.Node // from the file down to the node
}

func (g *generator) file(file *ast.File) {
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			g.function = functionName(declaration)
			g.walk(declaration.Body)
		case *ast.GenDecl:
			g.values(declaration)
		}
	}
}

func functionName(declaration *ast.FuncDecl) string {
	name := declaration.Name.Name
	if declaration.Recv == nil {
		return name
	}
	return typeName(declaration.Recv.List[0].Type) + "." + name
}

// typeName is a receiver's type without its pointer and type parameters.
func typeName(receiver ast.Expr) string {
	switch receiver := receiver.(type) {
	case *ast.StarExpr:
		return typeName(receiver.X)
	case *ast.IndexExpr:
		return typeName(receiver.X)
	case *ast.IndexListExpr:
		return typeName(receiver.X)
	case *ast.Ident:
		return receiver.Name
	default:
		return fmt.Sprintf("%T", receiver)
	}
}

// values looks at what is declared outside of functions.
func (g *generator) values(declaration *ast.GenDecl) {
	switch declaration.Tok {
	case token.CONST:
		g.constants(declaration)
	case token.VAR:
		for _, spec := range declaration.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, value := range spec.Values {
				g.function = spec.Names[i].Name
				g.walk(value)
			}
		}
	}
}

// constants doubles each numeric constant. A constant cannot depend on the environment, so each of these mutants is
// a build of its own.
func (g *generator) constants(declaration *ast.GenDecl) {
	for _, spec := range declaration.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, value := range spec.Values {
			g.function = spec.Names[i].Name
			if !g.isNumber(value) || strings.Contains(g.text(value), "iota") {
				continue
			}
			m := g.mutant(value, "doubled")
			from, to := g.offset(value.Pos()), g.offset(value.End())
			m.content = rewrite(g.source, []edit{{from, to, "2*(" + g.text(value) + ")"}})
		}
	}
}

// walk finds the mutants below a node. The edits of an outer node come before those of an inner one.
func (g *generator) walk(root ast.Node) {
	ast.Inspect(root, func(node ast.Node) bool {
		if node == nil {
			g.path = g.path[:len(g.path)-1]
			return true
		}
		if g.isFixed(node) {
			return false
		}
		g.visit(node)
		g.path = append(g.path, node)
		return true
	})
}

// isFixed reports whether the language requires a constant or a type there.
func (g *generator) isFixed(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.GenDecl:
		return node.Tok == token.CONST
	case *ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.InterfaceType:
		return true
	case ast.Expr:
		if pair, ok := g.parent(0).(*ast.KeyValueExpr); ok && pair.Key == node {
			return true
		}
		clause, ok := g.parent(0).(*ast.CaseClause)
		return ok && slices.Contains(clause.List, node) && !g.isTagless()
	default:
		return false
	}
}

func (g *generator) parent(up int) ast.Node {
	if up >= len(g.path) {
		return nil
	}
	return g.path[len(g.path)-1-up]
}

// isTagless reports whether the clause around the node belongs to a switch without a tag, whose cases are conditions.
func (g *generator) isTagless() bool {
	choice, ok := g.parent(2).(*ast.SwitchStmt)
	return ok && choice.Tag == nil
}

func (g *generator) visit(node ast.Node) {
	if text, ok := node.(ast.Expr); ok && g.isCompared(text) {
		g.around(text, fmt.Sprintf("mutantString(%d, ", g.mutant(text, "other string").id), ")")
		return
	}
	switch node := node.(type) {
	case ast.Stmt:
		g.statement(node)
	case *ast.BinaryExpr:
		g.condition(node)
		g.binary(node)
	case *ast.BasicLit:
		g.literal(node)
	case ast.Expr:
		g.condition(node)
	}
}

// isCompared reports whether the node is a string that others are compared with: an operand, or an element of a list.
func (g *generator) isCompared(node ast.Expr) bool {
	if !g.isConstant(node) || !g.isOf(node, types.IsString) {
		return false
	}
	switch parent := g.parent(0).(type) {
	case *ast.BinaryExpr:
		return parent.Op == token.EQL || parent.Op == token.NEQ
	case *ast.CompositeLit:
		return slices.Contains(parent.Elts, node)
	default:
		return false
	}
}

// statement removes one.
func (g *generator) statement(node ast.Stmt) {
	switch g.parent(0).(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
	default:
		return
	}
	if clause, ok := g.parent(0).(*ast.CommClause); ok && clause.Comm == node || !isRemovable(node) {
		return
	}
	g.around(node, fmt.Sprintf("if !mutantIs(%d) { ", g.mutant(node, "removed").id), " }")
}

// isRemovable reports whether the code compiles without the statement. Without a panic the function may lack a return.
func isRemovable(node ast.Stmt) bool {
	switch node := node.(type) {
	case *ast.AssignStmt:
		return node.Tok != token.DEFINE
	case *ast.ExprStmt:
		call, ok := node.X.(*ast.CallExpr)
		return !ok || !isPanic(call)
	case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
		return true
	default:
		return false
	}
}

func isPanic(call *ast.CallExpr) bool {
	function, ok := call.Fun.(*ast.Ident)
	return ok && function.Name == "panic"
}

// condition makes one always true, and always false.
func (g *generator) condition(node ast.Expr) {
	if name, ok := node.(*ast.Ident); ok && (name.Name == "true" || name.Name == "false") && g.isBool(node) {
		g.around(node, fmt.Sprintf("(mutantIs(%d) != ", g.mutant(node, "negated").id), ")")
		return
	}
	switch parent := g.parent(0).(type) {
	case *ast.IfStmt:
		if parent.Cond == node {
			g.always(node)
		}
	case *ast.ForStmt:
		if parent.Cond == node {
			g.around(node, fmt.Sprintf("!mutantIs(%d) && (", g.mutant(node, "always false").id), ")")
		}
	case *ast.CaseClause:
		if slices.Contains(parent.List, node) && g.isBool(node) {
			g.always(node)
		}
	case *ast.ReturnStmt:
		if _, plain := node.(*ast.BinaryExpr); !plain && g.isBool(node) {
			g.always(node)
		}
	case *ast.BinaryExpr:
		switch parent.Op {
		case token.LAND:
			g.around(node, fmt.Sprintf("(mutantIs(%d) || (", g.mutant(node, "operand true").id), "))")
		case token.LOR:
			g.around(node, fmt.Sprintf("(!mutantIs(%d) && (", g.mutant(node, "operand false").id), "))")
		}
	}
}

// always makes a whole condition true, and false.
func (g *generator) always(node ast.Expr) {
	isTrue, isFalse := g.mutant(node, "always true"), g.mutant(node, "always false")
	g.around(node, fmt.Sprintf("mutantIs(%d) || !mutantIs(%d) && (", isTrue.id, isFalse.id), ")")
}

// binary negates comparisons, moves their boundaries, and swaps arithmetic operators.
func (g *generator) binary(node *ast.BinaryExpr) {
	if g.isConstant(node) {
		return
	}
	a, b := g.text(node.X), g.text(node.Y)
	switch node.Op {
	case token.EQL, token.NEQ:
		g.around(node, fmt.Sprintf("(mutantIs(%d) != (", g.mutant(node, "negated").id), "))")
	case token.LSS, token.GTR:
		negated, moved := g.mutant(node, "negated"), g.mutant(node, "boundary included")
		g.around(node, fmt.Sprintf("(mutantIs(%d) != ((", negated.id), fmt.Sprintf(") || mutantIs(%d) && (%s) == (%s)))", moved.id, a, b))
	case token.LEQ, token.GEQ:
		negated, moved := g.mutant(node, "negated"), g.mutant(node, "boundary excluded")
		g.around(node, fmt.Sprintf("(mutantIs(%d) != ((", negated.id), fmt.Sprintf(") && !(mutantIs(%d) && (%s) == (%s))))", moved.id, a, b))
	case token.ADD, token.SUB, token.MUL, token.QUO, token.REM:
		if g.isNumber(node) {
			g.arithmetic(node)
		}
	}
}

var operators = map[token.Token]string{
	token.ADD: "mutantAdd", token.SUB: "mutantSub", token.MUL: "mutantMul", token.QUO: "mutantDiv", token.REM: "mutantRem",
}

// arithmetic puts a function in the place of an operator, which does the opposite once its mutant is alive.
func (g *generator) arithmetic(node *ast.BinaryExpr) {
	m := g.mutant(node, "other operator than "+node.Op.String())
	g.around(node, fmt.Sprintf("%s(%d, (", operators[node.Op], m.id), "))")
	at := g.offset(node.OpPos)
	g.edits[g.name] = append(g.edits[g.name], edit{at, at + len(node.Op.String()), "), ("})
}

// literal increments a number.
func (g *generator) literal(node *ast.BasicLit) {
	if !g.isNumber(node) {
		return
	}
	if parent, ok := g.parent(0).(ast.Expr); ok && g.isConstant(parent) {
		return
	}
	g.around(node, fmt.Sprintf("mutantNext%s(%d, ", g.typeArgument(node), g.mutant(node, "incremented").id), ")")
}

// typeArgument is the node's type in brackets, or nothing where it is inferred.
func (g *generator) typeArgument(node ast.Expr) string {
	name := types.TypeString(g.types.Types[node].Type, func(p *types.Package) string {
		if p.Path() == ownPath {
			return ""
		}
		return p.Path()
	})
	switch {
	case name == "time.Duration":
		return "[mutantDuration]"
	case strings.HasPrefix(name, "untyped") || strings.Contains(name, "."):
		return ""
	default:
		return "[" + name + "]"
	}
}

func (g *generator) mutant(node ast.Node, change string) *mutant {
	m := &mutant{
		id: len(g.mutants) + 1, file: g.name, line: g.set.Position(node.Pos()).Line, function: g.function, change: change,
		source: g.line(node) + g.context(node),
	}
	g.keys[m.key()]++
	m.nth = g.keys[m.key()]
	g.mutants = append(g.mutants, m)
	return m
}

// context is the code around a node that is a single word, which says little alone.
func (g *generator) context(node ast.Node) string {
	switch node.(type) {
	case *ast.BasicLit, *ast.Ident:
	default:
		return ""
	}
	switch around := g.parent(0).(type) {
	case *ast.CompositeLit:
		return ""
	case ast.Expr, *ast.ReturnStmt, *ast.AssignStmt:
		return " in " + g.line(around)
	default:
		return ""
	}
}

// line is the node's code in one line.
func (g *generator) line(node ast.Node) string {
	return strings.Join(strings.Fields(g.text(node)), " ")
}

// around puts texts before and behind a node.
func (g *generator) around(node ast.Node, before, behind string) {
	from, to := g.offset(node.Pos()), g.offset(node.End())
	g.edits[g.name] = append(g.edits[g.name], edit{from, from, before}, edit{to, to, behind})
}

func (g *generator) offset(position token.Pos) int { return g.set.Position(position).Offset }

func (g *generator) text(node ast.Node) string {
	return string(g.source[g.offset(node.Pos()):g.offset(node.End())])
}

func (g *generator) isConstant(node ast.Expr) bool { return g.types.Types[node].Value != nil }

func (g *generator) isNumber(node ast.Expr) bool { return g.isOf(node, types.IsNumeric) }

func (g *generator) isBool(node ast.Expr) bool { return g.isOf(node, types.IsBoolean) }

func (g *generator) isOf(node ast.Expr, kind types.BasicInfo) bool {
	found := g.types.Types[node].Type
	if found == nil {
		return false
	}
	basic, ok := found.Underlying().(*types.Basic)
	return ok && basic.Info()&kind != 0
}
