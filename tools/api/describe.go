package main

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

// A description collects the lines of one package. Each stands for itself, a field or method with the name of
// its type in front, so that a difference can be read without what is around it.
type description struct {
	lines     strings.Builder
	qualifier types.Qualifier
}

// describe returns the exported declarations of a package, sorted by kind, then by name.
func describe(p *types.Package) string {
	d := &description{qualifier: func(other *types.Package) string {
		if other == p {
			return ""
		}
		return other.Name()
	}}
	d.add("package %s // import %q", p.Name(), p.Path())
	objects := exported(p.Scope())
	for _, kind := range []func(types.Object){d.constant, d.variable, d.function, d.declaration} {
		for _, object := range objects {
			kind(object)
		}
	}
	return d.lines.String()
}

func exported(scope *types.Scope) (objects []types.Object) {
	for _, name := range scope.Names() { // sorted
		if object := scope.Lookup(name); object.Exported() {
			objects = append(objects, object)
		}
	}
	return objects
}

func (d *description) add(format string, arguments ...any) {
	fmt.Fprintf(&d.lines, format+"\n", arguments...)
}

func (d *description) constant(object types.Object) {
	if c, ok := object.(*types.Const); ok {
		d.add("const %s = %s", strings.TrimSpace(c.Name()+" "+d.typeOf(c)), c.Val().ExactString())
	}
}

// typeOf is a constant's type, nothing for one without.
func (d *description) typeOf(c *types.Const) string {
	if basic, ok := c.Type().(*types.Basic); ok && basic.Info()&types.IsUntyped != 0 {
		return ""
	}
	return d.text(c.Type())
}

func (d *description) variable(object types.Object) {
	if v, ok := object.(*types.Var); ok {
		d.add("var %s %s", v.Name(), d.text(v.Type()))
	}
}

func (d *description) function(object types.Object) {
	if f, ok := object.(*types.Func); ok {
		d.add("func %s%s", f.Name(), d.signature(f))
	}
}

// declaration is a type with all that it has.
func (d *description) declaration(object types.Object) {
	name, ok := object.(*types.TypeName)
	if !ok {
		return
	}
	if name.IsAlias() {
		d.add("type %s = %s", name.Name(), d.text(types.Unalias(name.Type())))
		return
	}
	named := name.Type().(*types.Named)
	switch shape := named.Underlying().(type) {
	case *types.Struct:
		d.add("type %s struct", d.nameOf(named))
		d.fields(name.Name(), shape)
	case *types.Interface:
		d.add("type %s interface", d.nameOf(named))
		d.elements(name.Name(), shape)
		return // its method set is the same
	default:
		d.add("type %s %s", d.nameOf(named), d.text(shape))
	}
	d.methods(named)
}

// nameOf is a type's name, with its parameters.
func (d *description) nameOf(named *types.Named) string {
	var parameters []string
	for p := range named.TypeParams().TypeParams() {
		parameters = append(parameters, p.Obj().Name()+" "+d.text(p.Constraint()))
	}
	if len(parameters) == 0 {
		return named.Obj().Name()
	}
	return named.Obj().Name() + "[" + strings.Join(parameters, ", ") + "]"
}

func (d *description) fields(name string, shape *types.Struct) {
	unexported := false
	for i := range shape.NumFields() {
		field := shape.Field(i)
		switch {
		case !field.Exported():
			unexported = true
		case field.Embedded():
			d.add("\t%s embeds %s%s", name, d.text(field.Type()), tag(shape.Tag(i)))
		default:
			d.add("\t%s.%s %s%s", name, field.Name(), d.text(field.Type()), tag(shape.Tag(i)))
		}
	}
	if unexported {
		d.add("\t%s has unexported fields", name)
	}
}

func tag(text string) string {
	if text == "" {
		return ""
	}
	return " " + strconv.Quote(text)
}

func (d *description) elements(name string, shape *types.Interface) {
	unexported := false
	for method := range shape.Methods() { // those of embedded interfaces too
		if method.Exported() {
			d.add("\t%s.%s%s", name, method.Name(), d.signature(method))
		} else {
			unexported = true
		}
	}
	for embedded := range shape.EmbeddedTypes() {
		if _, ok := types.Unalias(embedded).(*types.Named); !ok {
			d.add("\t%s is one of %s", name, d.text(embedded))
		}
	}
	if unexported {
		d.add("\t%s has unexported methods", name)
	}
}

// methods are those of a pointer, which has them all, promoted ones too, each with its receiver.
func (d *description) methods(named *types.Named) {
	values := types.NewMethodSet(named)
	for selection := range types.NewMethodSet(types.NewPointer(named)).Methods() { // sorted by name
		method := selection.Obj().(*types.Func)
		if !method.Exported() {
			continue
		}
		receiver := "*" + named.Obj().Name()
		if values.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = named.Obj().Name()
		}
		d.add("\tfunc (%s) %s%s", receiver, method.Name(), d.signature(method))
	}
}

// signature is a function's type, with the names of its parameters, without "func".
func (d *description) signature(f *types.Func) string {
	return strings.TrimPrefix(d.text(f.Type()), "func")
}

func (d *description) text(t types.Type) string { return types.TypeString(t, d.qualifier) }
