package dynamodb

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bench runs an operation with one body after the other through Serve, without the cost of HTTP.
func bench(b *testing.B, h *Handler, op string, bodies ...string) {
	b.Helper()
	ctx := received(b, request(http.MethodPost, "/", "", "Content-Type", typeAmzJSON, "X-Amz-Target", tablesTarget+"."+op,
		"X-Amz-Date", "20261123T000000Z", "Authorization",
		"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host;x-amz-date, Signature=c"))
	var body strings.Reader
	status := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body.Reset(bodies[i%len(bodies)])
		ctx.Request.SetBodyStream(&body, body.Len())
		h.Serve(ctx)
		status = ctx.Response.StatusCode()
		ctx.ResetUserValues()
		ctx.Response.Reset()
	}
	if status != http.StatusOK {
		b.Fatalf("got %d", status)
	}
}

// itemOf1KB has ten attributes of about 100 bytes.
func itemOf1KB(id string) string {
	var s strings.Builder
	fmt.Fprintf(&s, `{"id":{"S":%q}`, id)
	for i := range 10 {
		fmt.Fprintf(&s, `,"attribute%d":{"S":%q}`, i, strings.Repeat("x", 90))
	}
	s.WriteString("}")
	return s.String()
}

func BenchmarkGetItem(b *testing.B) {
	h := served(b)
	createTables(b, h)
	if got := call(b, h, "PutItem", `{"TableName":"things","Item":`+itemOf1KB("a")+`}`); got != `{}` {
		b.Fatal(got)
	}
	bench(b, h, "GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}}}`)
}

// BenchmarkGetItemOverTCP is eight connections a processor. Its metric is the CPU time of the
// process, with that of the clients, which do nothing but write and read.
func BenchmarkGetItemOverTCP(b *testing.B) {
	h := served(b)
	createTables(b, h)
	call(b, h, "PutItem", `{"TableName":"things","Item":`+itemOf1KB("a")+`}`)
	address := listening(b, h, nil)
	const body = `{"TableName":"things","Key":{"id":{"S":"a"}}}`
	request := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: %s\r\nX-Amz-Target: "+
		"%s.GetItem\r\n"+
		"X-Amz-Date: 20261123T000000Z\r\nUser-Agent: aws-sdk-go-v2/1.47.7 os/linux lang/go#1.26.0 md/GOOS#linux "+
		"md/GOARCH#amd64 api/dynamodb\r\n"+
		"Amz-Sdk-Invocation-Id: 6a1c0f5e-0000-4000-8000-000000000000\r\nAmz-Sdk-Request: attempt=1; "+
		"max=3\r\nAccept-Encoding: identity\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/dynamodb/aws4_request, "+
		"SignedHeaders=accept-encoding;amz-sdk-invocation-id;content-length;content-type;host;x-amz-date;x-amz-target, "+
		"Signature=%064d\r\n"+
		"Content-Length: %d\r\n\r\n%s", typeAmzJSON, tablesTarget, 0, len(body), body)
	before := cpuTime(b)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		response := make([]byte, 64<<10)
		for pb.Next() {
			if err := exchange(conn, request, response); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// exchange sends a request and reads an response that ends with an item.
func exchange(conn net.Conn, request, response []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	for n := 0; !bytes.HasSuffix(response[:n], []byte("}}}")); {
		more, err := conn.Read(response[n:])
		if err != nil {
			return err
		}
		n += more
	}
	return nil
}

// cpuTime is how much CPU time the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkPutItem always changes the item, so that each is a commit on a memory disk, by one
// committer.
func BenchmarkPutItem(b *testing.B) {
	h := served(b)
	createTables(b, h)
	bodies := [2]string{}
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"TableName":"things","Item":%s,"x":{"N":"%d"}}}`,
			strings.TrimSuffix(itemOf1KB("a"), "}"), i)
	}
	bench(b, h, "PutItem", bodies[0], bodies[1])
}

func BenchmarkParse(b *testing.B) {
	body := `{"TableName":"things","Item":` + itemOf1KB("a") + `}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		doc, ok := parse(body, 0)
		if !ok {
			b.Fatal("not parsed")
		}
		doc.release()
	}
}

// BenchmarkQuery1000 is one page of 1000 items of about 100 bytes.
func BenchmarkQuery1000(b *testing.B) {
	h := served(b)
	createTables(b, h)
	for i := 0; i < 1000; i += 25 {
		var puts []string
		for n := i; n < i+25; n++ {
			puts = append(puts, fmt.Sprintf(`{"PutRequest":{"Item":{"id":{"S":"a"},"n":{"N":"%d"},"text":{"S":"%080d"}}}}`, n,
				n))
		}
		call(b, h, "BatchWriteItem", `{"RequestItems":{"notes":[`+strings.Join(puts, ",")+`]}}`)
	}
	bench(b, h, "Query", `{"TableName":"notes","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}`)
}
