// Package manual prints manual pages from the source: one for each command out of the command line's
// own model, one for the configuration out of the tags of its keys. So they cannot drift from what the
// program does.
//
// Pages are in mdoc, the language of mdoc(7), which man(1) and mandoc(1) show.
package manual

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"posthaste/config"
)

// A Page is one manual page.
type Page struct {
	Name string // of the file: "posthaste-queue.1"
	Text []byte
}

// Pages returns every page: of the program, of each of its commands, of the configuration file.
func Pages(app *kong.Application, settings []config.Setting) []Page {
	pages := []Page{program(app)}
	for _, c := range commandsOf(app.Node) {
		pages = append(pages, command(app, c))
	}
	return append(pages, configuration(app, settings))
}

// commandsOf returns the visible commands of n, in order.
func commandsOf(n *kong.Node) []*kong.Node {
	var all []*kong.Node
	for _, c := range n.Children {
		if c.Type == kong.CommandNode && !c.Hidden {
			all = append(all, c)
		}
	}
	return all
}

// program prints posthaste(1), which leads to the others.
func program(app *kong.Application) Page {
	w := newWriter(app.Name, 1, app.Help)
	w.macro("Sh", "SYNOPSIS")
	w.macro("Nm", app.Name)
	for _, f := range flagsOf(app.Node) {
		w.optional(f)
	}
	w.macro("Ar", "command ...")
	w.macro("Sh", "DESCRIPTION")
	w.text(app.Help)
	w.macro("Bl", "-tag", "-width", "Ds")
	for _, c := range commandsOf(app.Node) {
		w.macro("It", "Xr", app.Name+"-"+c.Name, "1")
		w.text(c.Help)
	}
	w.macro("El")
	w.macro("Pp")
	w.text("These flags go with every command:")
	w.flags(flagsOf(app.Node))
	w.ending(app, exits(app.Node))
	w.macro("Sh", "SEE ALSO")
	w.macro("Xr", app.Name+".toml", "5")
	return w.page(app.Name, 1)
}

// command prints posthaste-NAME(1).
func command(app *kong.Application, c *kong.Node) Page {
	name := app.Name + "-" + c.Name
	w := newWriter(name, 1, c.Help)
	w.macro("Sh", "SYNOPSIS")
	leaves := leavesOf(c)
	for _, leaf := range leaves {
		w.synopsis(app, leaf)
	}
	w.macro("Sh", "DESCRIPTION")
	if len(leaves) == 1 && leaves[0] == c {
		w.usage(c)
	} else {
		w.text(c.Help)
		w.text(c.Detail)
		for _, leaf := range leaves {
			w.macro("Ss", strings.TrimPrefix(leaf.Path(), app.Name+" "))
			w.usage(leaf)
		}
	}
	w.ending(app, exits(c))
	if s := standards(c); s != "" {
		w.macro("Sh", "STANDARDS")
		w.text(s)
	}
	w.macro("Sh", "SEE ALSO")
	w.macro("Xr", app.Name, "1", ",")
	w.macro("Xr", app.Name+".toml", "5")
	return w.page(name, 1)
}

// leavesOf returns the commands at the ends of n: those that do something.
func leavesOf(n *kong.Node) []*kong.Node {
	children := commandsOf(n)
	if len(children) == 0 {
		return []*kong.Node{n}
	}
	var all []*kong.Node
	for _, c := range children {
		all = append(all, leavesOf(c)...)
	}
	return all
}

func standards(n *kong.Node) string {
	if n.Tag == nil {
		return ""
	}
	return n.Tag.Get("standards")
}

// flagsOf returns the visible flags of n itself.
func flagsOf(n *kong.Node) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Hidden })
}

// configuration prints posthaste.toml(5), a section per table of the file.
func configuration(app *kong.Application, settings []config.Setting) Page {
	name := app.Name + ".toml"
	w := newWriter(name, 5, "configuration of "+app.Name)
	w.macro("Sh", "DESCRIPTION")
	w.text("The file is TOML. Keys that are left out have the defaults named here; a key that is unknown, or a value out of bounds, is an error with its line. " +
		app.Name + " config check reports all of them at once, " + app.Name + " reload makes a running node take a changed file over.")
	section := "\x00"
	for _, s := range settings {
		table, key := "", s.Key
		if dot := strings.LastIndexByte(key, '.'); dot >= 0 {
			table, key = key[:dot], key[dot+1:]
		}
		if table != section {
			if section != "\x00" {
				w.macro("El")
			}
			section = table
			w.macro("Ss", sectionTitle(table))
			w.macro("Bl", "-tag", "-width", "Ds")
		}
		w.macro("It", "Cm", key)
		w.text(s.Doc + valueText(s))
	}
	w.macro("El")
	w.macro("Sh", "FILES")
	w.files(app)
	w.macro("Sh", "EXAMPLES")
	w.verbatim(config.Example)
	w.macro("Sh", "SEE ALSO")
	w.macro("Xr", app.Name, "1")
	return w.page(name, 5)
}

func sectionTitle(table string) string {
	switch list, repeated := strings.CutSuffix(table, "[]"); {
	case table == "":
		return "Before any section"
	case repeated:
		return "[[" + list + "]], as often as needed"
	}
	return "[" + table + "]"
}

func valueText(s config.Setting) string {
	var b strings.Builder
	if s.Default != "" {
		fmt.Fprintf(&b, " Default: %s.", s.Default)
	}
	if s.Bounds != "" && !strings.HasPrefix(s.Bounds, "one of ") {
		fmt.Fprintf(&b, " Bounds: %s.", s.Bounds)
	}
	return b.String()
}

// A writer prints mdoc.
type writer struct{ bytes.Buffer }

func newWriter(name string, section int, about string) *writer {
	w := new(writer)
	w.macro("Dd") // no date: the same source makes the same page
	w.macro("Dt", strings.ToUpper(name), fmt.Sprint(section))
	w.macro("Os")
	w.macro("Sh", "NAME")
	w.macro("Nm", name)
	w.macro("Nd", strings.TrimSuffix(about, "."))
	return w
}

func (w *writer) page(name string, section int) Page {
	return Page{Name: fmt.Sprintf("%s.%d", name, section), Text: w.Bytes()}
}

// macro prints a macro line. Arguments with blanks stay one word only in names and titles, where that
// does not matter.
func (w *writer) macro(name string, args ...string) {
	w.WriteString("." + name)
	for _, a := range args {
		w.WriteString(" " + escape(a))
	}
	w.WriteByte('\n')
}

// text prints sentences, each on a line of its own as mdoc wants it.
func (w *writer) text(s string) {
	for _, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		for _, line := range strings.Split(strings.ReplaceAll(paragraph, ". ", ".\n"), "\n") {
			line = escape(strings.TrimSpace(line))
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
				line = `\&` + line
			}
			if line != "" {
				w.WriteString(line + "\n")
			}
		}
	}
}

func (w *writer) verbatim(s string) {
	w.macro("Bd", "-literal")
	for _, line := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		if line = escape(line); strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		w.WriteString(line + "\n")
	}
	w.macro("Ed")
}

// escape makes s plain text for mdoc.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "…", "...", "–", "-", "×", "x").Replace(s)
}

// synopsis prints how a command is called.
func (w *writer) synopsis(app *kong.Application, n *kong.Node) {
	w.macro("Nm", app.Name)
	w.macro("Cm", strings.TrimPrefix(n.Path(), app.Name+" "))
	for _, f := range flagsOf(n) {
		w.optional(f)
	}
	for _, p := range n.Positional {
		name, dots := p.Name, ""
		if p.IsCumulative() {
			dots = " ..."
		}
		if p.Required {
			w.macro("Ar", name+dots)
		} else {
			w.macro("Op", "Ar", name+dots)
		}
	}
}

func (w *writer) optional(f *kong.Flag) {
	if f.IsBool() {
		w.macro("Op", "Fl", "-"+f.Name)
		return
	}
	w.macro("Op", "Fl", "-"+f.Name, "Ar", f.FormatPlaceHolder())
}

// usage prints what a command does and what its words mean.
func (w *writer) usage(n *kong.Node) {
	w.text(n.Help)
	if n.Detail != "" {
		w.macro("Pp")
		w.text(n.Detail)
	}
	if len(n.Positional) > 0 {
		w.macro("Bl", "-tag", "-width", "Ds")
		for _, p := range n.Positional {
			w.macro("It", "Ar", p.Name)
			w.text(p.Help)
		}
		w.macro("El")
	}
	w.flags(flagsOf(n))
}

func (w *writer) flags(flags []*kong.Flag) {
	if len(flags) == 0 {
		return
	}
	w.macro("Bl", "-tag", "-width", "Ds")
	for _, f := range flags {
		if f.IsBool() {
			w.macro("It", "Fl", "-"+f.Name)
		} else {
			w.macro("It", "Fl", "-"+f.Name, "Ar", f.FormatPlaceHolder())
		}
		w.text(f.Help)
		if f.HasDefault && !f.IsBool() {
			w.text("Default: " + f.Default + ".")
		}
	}
	w.macro("El")
}

// An exit is an exit status and what it says.
type exit struct{ status, text string }

// exits returns the exit statuses of a command: our own, or those of sysexits(3) where it carries the
// tag exit:"sysexits", as the customary commands do.
func exits(n *kong.Node) []exit {
	if n.Tag == nil || n.Tag.Get("exit") != "sysexits" {
		return []exit{{"0", "It is done."}, {"1", "It failed; standard error says why and what to do."}, {"2", "The command line is wrong."}}
	}
	return []exit{
		{"0", "It is done; a message is on disk and will be sent."},
		{"64", "The command line is wrong."},
		{"65", "An address, the message or an alias file is wrong."},
		{"69", "This cannot be done here, or the message is too large."},
		{"74", "The message could not be read."},
		{"75", "It failed for now: try again later."},
		{"77", "This user may not do that."},
		{"78", "The configuration is wrong, or there is no drop directory."},
	}
}

// ending prints the sections that all pages share.
func (w *writer) ending(app *kong.Application, exits []exit) {
	w.macro("Sh", "FILES")
	w.files(app)
	w.macro("Sh", "EXIT STATUS")
	w.macro("Bl", "-tag", "-width", "Ds")
	for _, s := range exits {
		w.macro("It", s.status)
		w.text(s.text)
	}
	w.macro("El")
}

func (w *writer) files(app *kong.Application) {
	w.macro("Bl", "-tag", "-width", "Ds")
	w.macro("It", "Pa", "/etc/"+app.Name+"/"+app.Name+".toml")
	w.text("The configuration, unless --config or POSTHASTE_CONFIG names another.")
	w.macro("It", "Pa", "/var/lib/"+app.Name)
	w.text("Mail, queue, trace and the socket for commands, unless data names another folder.")
	w.macro("El")
}
