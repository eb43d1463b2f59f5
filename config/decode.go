package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxProblems bounds the errors of one file; a file with more is something else than our TOML.
const maxProblems = 50

// A Problem is one thing wrong with a configuration.
type Problem struct {
	Line int    // 1 is the first; 0 where no line is to blame
	Key  string // as "smtp.max_size", or empty
	Text string
}

// An Error lists everything wrong with a configuration, in order of line.
type Error struct {
	File     string
	Problems []Problem
}

// Error prints a problem per line, as file:line: text.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
		if p.Key != "" {
			b.WriteString(p.Key + ": ")
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// A decoder fills a Config from TOML and goes on after an error.
type decoder struct {
	parser   unstable.Parser
	text     []byte
	offset   int // of text, where line begins to count
	line     int // at offset
	root     reflect.Value
	table    reflect.Value // where keys go now; invalid below an unknown table
	path     string        // of table
	lines    map[string]int
	problems []Problem
}

// decode fills c from the TOML text.
func decode(text []byte, c *Config) []Problem {
	d := &decoder{root: reflect.ValueOf(c).Elem(), lines: map[string]int{}}
	d.table = d.root
	// A syntax error ends the parser. So its line is blanked and the text read afresh, until it is clean.
	text = append([]byte(nil), text...)
	var syntax []Problem
	for len(syntax) < maxProblems {
		line, err := syntaxError(text)
		if err == nil {
			break
		}
		syntax = append(syntax, Problem{Line: line, Text: err.Error()})
		if !blankLine(text, line) {
			return syntax
		}
	}
	d.parser.Reset(text)
	d.text, d.line = text, 1
	for d.parser.NextExpression() && len(d.problems) < maxProblems {
		d.expression(d.parser.Expression())
	}
	c.lines = d.lines
	return append(syntax, d.problems...)
}

// syntaxError returns the first error of TOML in text and its line.
func syntaxError(text []byte) (int, error) {
	var p unstable.Parser
	p.Reset(text)
	for p.NextExpression() {
	}
	err := p.Error()
	if err == nil {
		return 0, nil
	}
	line := 1
	var at *unstable.ParserError
	if errors.As(err, &at) && len(at.Highlight) > 0 {
		line = p.Shape(p.Range(at.Highlight)).Start.Line
	}
	return line, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
}

// blankLine overwrites a line by spaces; false when it is blank already.
func blankLine(text []byte, line int) bool {
	changed := false
	for i, n := 0, 1; i < len(text); i++ {
		if text[i] == '\n' {
			n++
		} else if n == line && text[i] != ' ' {
			text[i], changed = ' ', true
		}
	}
	return changed
}

func (d *decoder) expression(e *unstable.Node) {
	keys, line := d.key(e)
	switch e.Kind {
	case unstable.Table:
		d.path, d.table = "", d.root
		for _, k := range keys {
			d.enter(k, line)
		}
		d.lines[d.path] = line
	case unstable.ArrayTable:
		d.path, d.table = "", d.root
		for _, k := range keys {
			d.enter(k, line)
		}
		if d.table.IsValid() && d.table.Kind() == reflect.Slice {
			slice := d.table
			slice.Set(reflect.Append(slice, newDefault(slice.Type().Elem())))
			d.path = fmt.Sprintf("%s[%d]", d.path, slice.Len()-1)
			d.table = slice.Index(slice.Len() - 1)
			d.lines[d.path] = line
		}
	case unstable.KeyValue:
		table, path := d.table, d.path
		for _, k := range keys[:len(keys)-1] {
			d.enter(k, line)
		}
		d.assign(keys[len(keys)-1], e.Value(), line)
		d.table, d.path = table, path
	}
}

// key returns the parts of an expression's key, and its line.
func (d *decoder) key(e *unstable.Node) (parts []string, line int) {
	for it := e.Key(); it.Next(); {
		n := it.Node()
		if line == 0 {
			line = d.lineAt(int(d.parser.Range(n.Data).Offset))
		}
		parts = append(parts, string(n.Data))
	}
	return parts, line
}

// lineAt returns the line of an offset. Keys come in the order of the text, so that each line is counted
// once: the parser's own Shape counts from the start every time.
func (d *decoder) lineAt(offset int) int {
	if offset < d.offset {
		d.offset, d.line = 0, 1
	}
	d.line += bytes.Count(d.text[d.offset:offset], []byte("\n"))
	d.offset = offset
	return d.line
}

// enter goes from the present table into the one called name.
func (d *decoder) enter(name string, line int) {
	if !d.table.IsValid() {
		return
	}
	field, ok := fieldOf(d.table, name)
	isTable := ok && (field.Kind() == reflect.Struct || field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct)
	d.path = join(d.path, name)
	if !isTable {
		d.problem(line, d.path, "no such table"+suggest(d.table, name))
		d.table = reflect.Value{}
		return
	}
	d.table = field
}

func (d *decoder) assign(name string, value *unstable.Node, line int) {
	if !d.table.IsValid() || d.table.Kind() != reflect.Struct {
		if d.table.IsValid() {
			d.problem(line, join(d.path, name), "write [["+d.path+"]] above it: there may be several")
		}
		return
	}
	path := join(d.path, name)
	field, ok := fieldOf(d.table, name)
	switch {
	case !ok:
		d.problem(line, path, "no such key"+suggest(d.table, name))
		return
	case d.lines[path] != 0:
		d.problem(line, path, fmt.Sprintf("set twice, first in line %d", d.lines[path]))
		return
	}
	d.lines[path] = line
	if err := setNode(field, value); err != nil {
		d.problem(line, path, err.Error())
	}
}

func (d *decoder) problem(line int, key, text string) {
	d.problems = append(d.problems, Problem{Line: line, Key: key, Text: text})
}

func setNode(field reflect.Value, n *unstable.Node) error {
	text := string(n.Data)
	switch n.Kind {
	case unstable.InlineTable:
		c, ok := field.Addr().Interface().(*Certificate)
		if !ok {
			return fmt.Errorf("want %s, not a table", kindName(field.Type()))
		}
		return c.setTable(inlineTable(n))
	case unstable.Array:
		if field.Kind() != reflect.Slice {
			return fmt.Errorf("want %s, not a list", kindName(field.Type()))
		}
		field.Set(reflect.MakeSlice(field.Type(), 0, 4))
		for it := n.Children(); it.Next(); {
			element := reflect.New(field.Type().Elem()).Elem()
			if err := setNode(element, it.Node()); err != nil {
				return err
			}
			field.Set(reflect.Append(field, element))
		}
		return nil
	}
	want := unstable.String
	switch {
	case field.Kind() == reflect.Bool:
		want = unstable.Bool
	case field.Kind() == reflect.Int, field.Type() == reflect.TypeFor[Size]() && n.Kind == unstable.Integer:
		want = unstable.Integer
	case field.Type() == reflect.TypeFor[Points]() && n.Kind == unstable.Integer:
		want = unstable.Integer
	case field.Type() == reflect.TypeFor[Points]():
		want = unstable.Float
	}
	if n.Kind != want || field.Kind() == reflect.Slice {
		return fmt.Errorf("want %s", kindName(field.Type()))
	}
	if n.Kind == unstable.Integer {
		text = strings.ReplaceAll(text, "_", "")
	}
	return setText(field, text)
}

// setText sets a field that is not a list from the text of its value.
func setText(field reflect.Value, text string) error {
	if p, ok := field.Addr().Interface().(*netip.Prefix); ok {
		return setPrefix(p, text)
	}
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		v, err := strconv.ParseBool(text)
		field.SetBool(v)
		return err
	case reflect.Int:
		v, err := strconv.ParseInt(text, 0, 64)
		field.SetInt(v)
		return err
	default:
		return fmt.Errorf("want %s", kindName(field.Type()))
	}
	return nil
}

// setPrefix reads a network, or an address as the network of itself.
func setPrefix(p *netip.Prefix, text string) (err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		*p = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	if *p, err = netip.ParsePrefix(text); err != nil {
		return fmt.Errorf("%q is not a network such as 192.0.2.0/24 or 2001:db8::/32", text)
	}
	return nil
}

func inlineTable(n *unstable.Node) map[string]string {
	table := map[string]string{}
	for it := n.Children(); it.Next(); {
		pair := it.Node()
		for key := pair.Key(); key.Next(); {
			table[string(key.Node().Data)] = string(pair.Value().Data)
		}
	}
	return table
}

// newDefault returns a t with every default set.
func newDefault(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	for i := range t.NumField() {
		f, field := t.Field(i), v.Field(i)
		if !f.IsExported() {
			continue
		}
		text, ok := f.Tag.Lookup("default")
		switch {
		case f.Type.Kind() == reflect.Struct && f.Tag.Get("doc") == "":
			field.Set(newDefault(f.Type))
		case ok && f.Type.Kind() == reflect.Slice:
			for _, word := range strings.Fields(text) {
				element := reflect.New(f.Type.Elem()).Elem()
				mustSet(element, word)
				field.Set(reflect.Append(field, element))
			}
		case ok:
			mustSet(field, text)
		}
	}
	return v
}

// mustSet sets a default; one that does not parse is a mistake in this package.
func mustSet(field reflect.Value, text string) {
	if err := setText(field, text); err != nil {
		panic("config: default: " + err.Error())
	}
}

func fieldOf(table reflect.Value, name string) (reflect.Value, bool) {
	if table.Kind() != reflect.Struct {
		return reflect.Value{}, false
	}
	for i := range table.NumField() {
		if table.Type().Field(i).Tag.Get("toml") == name {
			return table.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// suggest returns "; did you mean …?" where a key of table is close to name.
func suggest(table reflect.Value, name string) string {
	if table.Kind() != reflect.Struct {
		return ""
	}
	for i := range table.NumField() {
		key := table.Type().Field(i).Tag.Get("toml")
		if key != "" && distance(key, name) <= 2 {
			return "; did you mean " + key + "?"
		}
	}
	return "; `posthaste config doc` lists them all"
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost = 1 + min(previous, row[j], row[j+1])
			}
			previous, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration such as "5m"`
	case t == reflect.TypeFor[Size]():
		return `a size such as "50MiB"`
	case t == reflect.TypeFor[Points]():
		return "a number such as 2.5"
	case t == reflect.TypeFor[Certificate]():
		return `"self-signed" or { cert = "FILE", key = "FILE" }`
	case t.Kind() == reflect.Slice:
		return "a list of texts in brackets"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a number"
	}
	return "a text in quotes"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
