package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	pageSection = regexp.MustCompile(`^(?: {4})?(\[\[?)([a-z_]+)\]\]?(?:\s+#.*)?$`)
	pageKey     = regexp.MustCompile(`^(?: {4})?([a-z_0-9]+)\s*= `)
	pageTable   = regexp.MustCompile("key of `\\[([a-z_]+)\\]`")
	pageInline  = regexp.MustCompile("`([a-z_]+)\\.([a-z_0-9]+)`")
)

// Every setting that the pages for people name exists, under the section they name.
func TestPagesNameSettingsThatExist(t *testing.T) {
	known, sections := map[string]bool{}, map[string]bool{}
	for _, s := range Settings() {
		known[s.Key] = true
		if section, _, found := strings.Cut(s.Key, "."); found {
			sections[section] = true
		}
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	named := 0
	for _, page := range append(pages, "../README.md") {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range settingsIn(string(content), sections) {
			if named++; !known[key] {
				t.Errorf("%s names %s, which is no setting", filepath.Base(page), key)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d settings were found in the pages: are they still read as they are written?", named)
	}
}

// settingsIn returns the settings that stand in the examples of a page, and in its text as `section.key`.
func settingsIn(page string, sections map[string]bool) (keys []string) {
	section := ""
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\r\n")
		if m := pageSection.FindStringSubmatch(line); m != nil {
			section = m[2]
			if m[1] == "[[" {
				section += "[]"
			}
			continue
		}
		if line != "" && !strings.HasPrefix(line, " ") && !pageKey.MatchString(line) && !strings.HasPrefix(line, "#") {
			section = "" // the example is over
		}
		if m := pageKey.FindStringSubmatch(line); m != nil && section != "" {
			keys = append(keys, section+"."+m[1])
		}
		for _, m := range pageInline.FindAllStringSubmatch(line, -1) {
			switch {
			case sections[m[1]]:
				keys = append(keys, m[1]+"."+m[2])
			case sections[m[1]+"[]"]:
				keys = append(keys, m[1]+"[]."+m[2])
			}
		}
	}
	return keys
}

// Tables of settings, which have a column "default", give the defaults that there are.
func TestPagesGiveTheDefaults(t *testing.T) {
	defaults := map[string]string{}
	for _, s := range Settings() {
		defaults[s.Key] = s.Default
	}
	pages, _ := filepath.Glob("../docs/*.md")
	rows := 0
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		section, column := "", 0
		for line := range strings.Lines(string(content)) {
			cells := strings.Split(line, "|")
			if len(cells) < 3 {
				section = ""
				continue
			}
			if m := pageTable.FindStringSubmatch(cells[1]); m != nil {
				section = m[1]
				for i, cell := range cells {
					if strings.TrimSpace(cell) == "default" {
						column = i
					}
				}
				continue
			}
			if section == "" || strings.Contains(cells[1], "--") {
				continue
			}
			rows++
			key := section + "." + strings.Trim(cells[1], " `")
			given, _, _ := strings.Cut(strings.Trim(cells[column], " `"), " ")
			if want, known := defaults[key]; !known || given != want {
				t.Errorf("%s says that %s is %s by default, it is %q", filepath.Base(page), key, given, want)
			}
		}
	}
	if rows < 13 {
		t.Errorf("%d rows were read", rows)
	}
}
