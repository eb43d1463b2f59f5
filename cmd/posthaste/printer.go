package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// A printer writes the output of commands: tables for people, an object a line for programs.
type printer struct {
	w     io.Writer
	json  bool
	color bool
}

func newPrinter(f *os.File, asJSON bool) *printer {
	_, noColor := os.LookupEnv("NO_COLOR")
	return &printer{w: f, json: asJSON, color: !noColor && !asJSON && term.IsTerminal(int(f.Fd()))}
}

// object prints v as one line of JSON.
func (p *printer) object(v any) error { return json.NewEncoder(p.w).Encode(v) }

// say prints a line for people; programs do not get it.
func (p *printer) say(format string, args ...any) {
	if !p.json {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) bold(s string) string  { return p.style("1", s) }
func (p *printer) dim(s string) string   { return p.style("2", s) }
func (p *printer) green(s string) string { return p.style("32", s) }
func (p *printer) red(s string) string   { return p.style("31", s) }
func (p *printer) style(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// sayUnlessEmpty says that a list has nothing, when there is something to say.
func (p *printer) sayUnlessEmpty(text string) {
	if text != "" {
		p.say("%s", text)
	}
}

// A table gathers rows and prints them in columns. Columns of numbers are given by a ">" before their
// title and stand to the right.
type table struct {
	p      *printer
	titles []string
	rows   [][]string
}

func (p *printer) table(titles ...string) *table { return &table{p: p, titles: titles} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table, or none when it has no rows.
func (t *table) print(none string) {
	if len(t.rows) == 0 {
		t.p.say("%s", none)
		return
	}
	width := make([]int, len(t.titles))
	right := make([]bool, len(t.titles))
	for i, title := range t.titles {
		title, right[i] = strings.CutPrefix(title, ">")
		t.titles[i] = strings.ToUpper(title)
		width[i] = utf8.RuneCountInString(t.titles[i])
		for _, row := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	t.line(t.titles, width, right, t.p.bold)
	for _, row := range t.rows {
		t.line(row, width, right, func(s string) string { return s })
	}
}

func (t *table) line(cells []string, width []int, right []bool, style func(string) string) {
	var b strings.Builder
	for i, cell := range cells {
		pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
		switch {
		case right[i]:
			b.WriteString(pad + cell)
		case i == len(cells)-1:
			b.WriteString(cell)
		default:
			b.WriteString(cell + pad)
		}
		if i < len(cells)-1 {
			b.WriteString("  ")
		}
	}
	fmt.Fprintln(t.p.w, style(strings.TrimRight(b.String(), " ")))
}

// counted prints how many there are of something: "1 message", "2 messages".
func counted[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bytesText prints a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), -1
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}

// timeText prints a moment, with the day when it is not today.
func timeText(t, now time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}
