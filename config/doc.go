package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// A Setting is one key with its manual.
type Setting struct {
	Key     string `json:"key"` // as "smtp.max_size"; keys of sections that repeat stand under "listen[]"
	Default string `json:"default"`
	Bounds  string `json:"bounds,omitempty"`
	Doc     string `json:"doc"`
	Value   string `json:"value,omitempty"` // with Show: the effective value, as in the file
}

// Settings returns the manual of every key in order.
func Settings() []Setting {
	c := Default()
	fields := reflect.ValueOf(c).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			f.Set(reflect.Append(f, newDefault(f.Type().Elem())))
		}
	}
	settings := c.Show()
	for i := range settings {
		settings[i].Key = strings.Replace(settings[i].Key, "[0]", "[]", 1)
		settings[i].Value = ""
	}
	return settings
}

// Show returns every key with its effective value.
func (c *Config) Show() []Setting {
	var all []Setting
	walk(reflect.ValueOf(c).Elem(), "", func(key string, field reflect.StructField, value reflect.Value) {
		bounds := boundsText(field)
		if words := field.Tag.Get("oneof"); words != "" {
			bounds = "one of " + strings.Join(strings.Fields(words), ", ")
		}
		all = append(all, Setting{Key: key, Default: field.Tag.Get("default"), Bounds: bounds, Doc: field.Tag.Get("doc"), Value: printed(value)})
	})
	return all
}

// WriteTOML prints the effective settings as a file that [Load] reads.
func (c *Config) WriteTOML(w io.Writer) error {
	table := ""
	var b strings.Builder
	for _, s := range c.Show() {
		head, name := "", s.Key
		if dot := strings.LastIndexByte(s.Key, '.'); dot >= 0 {
			head, name = s.Key[:dot], s.Key[dot+1:]
		}
		if head != table {
			table = head
			if list, _, ok := strings.Cut(head, "["); ok {
				fmt.Fprintf(&b, "\n[[%s]]\n", list)
			} else {
				fmt.Fprintf(&b, "\n[%s]\n", head)
			}
		}
		fmt.Fprintf(&b, "%s = %s\n", name, s.Value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printed returns a value as it stands in a file.
func printed(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			items = append(items, printed(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return strconv.Quote(err.Error())
		}
		if _, number := v.Interface().(Points); number || strings.HasPrefix(string(text), "{") {
			return string(text)
		}
		return strconv.Quote(string(text))
	}
	if v.Kind() == reflect.String {
		return strconv.Quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// Example is a short working file.
const Example = `# Posthaste: a short configuration. Every key: posthaste config doc
hostname = "mail.example.org"        # our full name: its address must resolve back to it
data     = "/var/lib/posthaste"      # mail, queue, trace and the admin socket
user     = "posthaste"               # whom to become after the ports are bound, when started as root

[tls]
certificate = "self-signed"          # or { cert = "/etc/ssl/mail.pem", key = "/etc/ssl/mail.key" }

[[listen]]
service = "mx"                       # mail from other hosts
address = ":25"

[[listen]]
service = "submission"               # mail from our users, STARTTLS
address = ":587"

[[listen]]
service = "submissions"              # the same, TLS from the start
address = ":465"

[[listen]]
service = "imap"
address = ":143"

[[listen]]
service = "imaps"
address = ":993"

[[listen]]
service = "pop3s"
address = ":995"
`
