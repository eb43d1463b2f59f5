package sqltable

import (
	"strings"
	"testing"

	"posthaste/table/query"
)

func TestPlaceholdersBecomeParameters(t *testing.T) {
	for _, tt := range []struct {
		dialect  dialect
		in, want string
		params   string
	}{
		{postgres, "a = %s", "a = $1", "s"},
		{postgres, "a = '%s' AND b = %d", "a = $1 AND b = $2", "sd"},
		{postgres, "a = '%u@%d'", "a = ($1 || '@' || $2)", "ud"},
		{postgres, "a LIKE '%%%s'", "a LIKE ('%' || $1)", "s"},
		{postgres, "a = 'it''s' AND b = %s", "a = 'it''s' AND b = $1", "s"},
		{mysqlDialect, `a = "x\"%s"`, `a = CONCAT("x\"", ?)`, "s"},
		{mysqlDialect, `a = 'x\\' AND b = '%s'`, `a = 'x\\' AND b = ?`, "s"},
	} {
		q, err := query.Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := compile(q, tt.dialect)
		if err != nil || got.text != tt.want || string(got.params) != tt.params {
			t.Errorf("%s becomes %q with %q, %v; want %q", tt.in, got.text, got.params, err, tt.want)
		}
	}
}

func TestQueriesThatCannotBeMeantAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"a = 1": "neither", "a = '%s": "closes", `"%s" = 1`: "quoted name", "a = %x": "placeholder", "a = %": "ends with",
	} {
		q, err := query.Parse(in)
		if err == nil {
			_, err = compile(q, postgres)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", in, err, want)
		}
	}
}
