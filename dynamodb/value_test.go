package dynamodb

import (
	"strings"
	"testing"

	"holdfast/item"
)

// valued parses an AttributeValue.
func valued(t *testing.T, s string) (item.Value, error) {
	t.Helper()
	doc, ok := parse(s, 0)
	if !ok {
		t.Fatalf("%s is no JSON", s)
	}
	defer doc.release()
	return attributeValue(doc.root())
}

func TestValues(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{"S":"a"}`, ``},
		{`{"S":""}`, ``},
		{`{"S":"\u00e9\n\"\u0001/"}`, `{"S":"é\n\"\u0001/"}`},
		{`{"N":"1"}`, ``},
		{`{"N":"001.50"}`, `{"N":"1.5"}`},
		{`{"N":"-1e3"}`, `{"N":"-1000"}`},
		{`{"B":"AQID"}`, ``},
		{`{"B":""}`, ``},
		{`{"BOOL":true}`, ``},
		{`{"BOOL":"no"}`, `{"BOOL":false}`},
		{`{"NULL":true}`, ``},
		{`{"SS":["c","a","b"]}`, `{"SS":["a","b","c"]}`},
		{`{"SS":["é","z","Z","","~"]}`, `{"SS":["","Z","z","~","é"]}`},
		{`{"NS":["2","1.0"]}`, `{"NS":["2","1"]}`},
		{`{"NS":["10","9","-1","-20","0.5","1e2","0"]}`, `{"NS":["10","9","-1","-20","0.5","100","0"]}`},
		{`{"BS":["/w==","AAE=","AA=="]}`, `{"BS":["AA==","AAE=","/w=="]}`},
		{`{"BS":["AQ==","Ag=="]}`, ``},
		{`{"L":[]}`, ``},
		{`{"L":[{"S":"a"},{"L":[{"N":"1"}]}]}`, ``},
		{`{"M":{}}`, ``},
		{`{"M":{"a":{"M":{"c":{"NULL":true}}},"b":{"L":[]}}}`, ``},
		{`{"M":{"b":{"S":"1"},"a":{"S":"2"}}}`, `{"M":{"a":{"S":"2"},"b":{"S":"1"}}}`},
		{`{"S":"a","X":1,"N":null}`, `{"S":"a"}`},
	} {
		v, err := valued(t, test.in)
		if err != nil {
			t.Errorf("%s: got %v; want no error", test.in, err)
			continue
		}
		if test.want == "" {
			test.want = test.in
		}
		w := new(writer)
		if w.value(&v); string(w.buf) != test.want {
			t.Errorf("%s: got %s; want %s", test.in, w.buf, test.want)
		}
	}
}

func TestWrongValues(t *testing.T) {
	const (
		empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
		many  = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
	)
	deep := strings.Repeat(`{"L":[`, 40) + `{"S":"a"}` + strings.Repeat(`]}`, 40)
	for _, test := range []struct{ in, want string }{
		{`{}`, empty},
		{`{"S":null}`, empty},
		{`{"a":"b"}`, empty},
		{`{"L":[{}]}`, empty},
		{`{"L":[null]}`, empty},
		{`{"S":"a","N":"1"}`, many},
		{`{"M":{"a":{"S":"a","N":"1"}}}`, many},
		{`{"S":"a","N":"b"}`, "The parameter cannot be converted to a numeric value: b"},
		{`{"N":""}`, "The parameter cannot be converted to a numeric value"},
		{
			`{"NULL":false}`,
			"One or more parameter values were invalid: Null attribute value types must have the value of true",
		},
		{`{"SS":[]}`, "One or more parameter values were invalid: An string set  may not be empty"},
		{`{"NS":["1","1.0"]}`, "Input collection contains duplicates"},
		{
			`{"M":{"a":{"SS":["a","a"]}}}`,
			"One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
		},
		{deep, "Nesting Levels have exceeded supported limits"},
	} {
		_, err := valued(t, test.in)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.50s: got %v; want %s", test.in, err, test.want)
		}
	}
}

func TestWriter(t *testing.T) {
	w := new(writer)
	w.beginObject()
	w.strField("a", "{")
	w.name("b")
	w.beginArray()
	w.int(-1)
	w.float(2)
	w.float(0.5)
	w.bool(true)
	w.beginObject()
	w.endObject()
	w.beginArray()
	w.endArray()
	w.raw(`{"x":1}`)
	w.endArray()
	w.name("c")
	w.base64("\x00\xff")
	w.endObject()
	const want = `{"a":"{","b":[-1,2.0,0.5,true,{},[],{"x":1}],"c":"AP8="}`
	if got := string(w.buf); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
