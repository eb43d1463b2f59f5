package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// UnmarshalText reads a duration; besides the units of Go it knows d and y.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if v, err := time.ParseDuration(s); err == nil {
		*d = Duration(v)
		return nil
	}
	for suffix, unit := range map[string]time.Duration{"d": day, "y": year} {
		n, ok := strings.CutSuffix(s, suffix)
		if v, err := strconv.ParseUint(n, 10, 16); ok && err == nil {
			*d = Duration(time.Duration(v) * unit)
			return nil
		}
	}
	return fmt.Errorf("%q is not a duration such as 90s, 5m, 4h or 5d", s)
}

// MarshalText prints d in the largest unit that divides it.
func (d Duration) MarshalText() ([]byte, error) {
	v := time.Duration(d)
	switch {
	case v == 0:
		return []byte("0s"), nil
	case v%year == 0:
		return fmt.Appendf(nil, "%dy", v/year), nil
	case v%day == 0:
		return fmt.Appendf(nil, "%dd", v/day), nil
	case v%time.Hour == 0:
		return fmt.Appendf(nil, "%dh", v/time.Hour), nil
	case v%time.Minute == 0:
		return fmt.Appendf(nil, "%dm", v/time.Minute), nil
	}
	return []byte(v.String()), nil
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText reads a number of bytes with an optional unit: B, KiB, MiB or GiB.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	for _, unit := range sizeUnits {
		n, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		if err != nil || v < 0 || v > (1<<62)/unit.bytes {
			break
		}
		*z = Size(v * unit.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 4096, 64KiB, 50MiB or 1GiB", s)
}

// MarshalText prints z in the largest unit that divides it.
func (z Size) MarshalText() ([]byte, error) {
	for _, unit := range sizeUnits {
		if z != 0 && int64(z)%unit.bytes == 0 {
			return fmt.Appendf(nil, "%d%s", int64(z)/unit.bytes, unit.name), nil
		}
	}
	return []byte("0"), nil
}

// UnmarshalText reads a number of points, as 2.5.
func (p *Points) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || v < -maxPoints || v > maxPoints {
		return fmt.Errorf("%q is no number of points from -%d to %d", text, maxPoints, maxPoints)
	}
	*p = Points(v)
	return nil
}

// MarshalText prints p as a number.
func (p Points) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(p), 'f', -1, 64), nil
}

// UnmarshalText reads the forms that are one word.
func (c *Certificate) UnmarshalText(text []byte) error {
	switch string(text) {
	case "self-signed":
		*c = Certificate{Source: "self-signed"}
		return nil
	case "acme":
		return fmt.Errorf(`"acme" is not available in this version: use "self-signed" or { cert = "FILE", key = "FILE" }`)
	}
	return fmt.Errorf(`%q is no source of certificates: use "self-signed" or { cert = "FILE", key = "FILE" }`, text)
}

// MarshalText prints c as a word, or as the two files.
func (c Certificate) MarshalText() ([]byte, error) {
	if c.Source == "files" {
		return fmt.Appendf(nil, "{ cert = %q, key = %q }", c.Cert, c.Key), nil
	}
	return []byte(c.Source), nil
}

// setTable takes the form that is an inline table.
func (c *Certificate) setTable(table map[string]string) error {
	for key := range table {
		if key != "cert" && key != "key" {
			return fmt.Errorf("unknown key %q: a certificate has cert and key", key)
		}
	}
	if table["cert"] == "" || table["key"] == "" {
		return fmt.Errorf("a certificate needs both cert and key")
	}
	*c = Certificate{Source: "files", Cert: table["cert"], Key: table["key"]}
	return nil
}
