// SPDX-License-Identifier: Apache-2.0

// An h2c worker on Tomcat's servlets that answers as h2c.mjs does: /page, /part, /hints, /counts.
//
//     java -cp /usr/share/java/tomcat10-embed-core.jar Pusher.java
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.PushBuilder;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.connector.ResponseFacade;
import org.apache.catalina.startup.Tomcat;
import org.apache.coyote.http2.Http2Protocol;

class Pusher {
    static final AtomicInteger requests = new AtomicInteger(), offered = new AtomicInteger();
    static final Map<String, CountDownLatch> pushed = new ConcurrentHashMap<>(); // what its page waits for

    static int number(HttpServletRequest request, String name, int otherwise) {
        String value = request.getParameter(name);
        return value == null ? otherwise : Integer.parseInt(value);
    }

    static void answer(HttpServletResponse response, String kind, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        response.setContentType(kind);
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
        response.flushBuffer();
    }

    static class Servlet extends HttpServlet {
        // What it pushes Tomcat asks of the servlet itself, unless it is refused at once: such a request
        // counts as offered, not as asked, and the page waits until it is answered, or nothing would be
        // known of it when the page leaves.
        void page(HttpServletRequest request, HttpServletResponse response) throws Exception {
            String[] paths = IntStream.range(0, number(request, "n", 3))
                    .mapToObj(i -> "/part?i=" + i + "&size=" + number(request, "size", 1000)).toArray(String[]::new);
            PushBuilder push = request.newPushBuilder(); // null where the peer takes no push
            CountDownLatch answered = new CountDownLatch(push == null ? 0 : paths.length);
            for (String path : push == null ? new String[0] : paths) {
                pushed.put(path, answered);
                offered.incrementAndGet();
                requests.decrementAndGet();
                // Its query is the builder's own, else the page's would be used.
                push.path("/part").queryString(path.substring(path.indexOf('?') + 1)).push();
            }
            answered.await(2, TimeUnit.SECONDS);
            Thread.sleep(number(request, "ms", 0));
            answer(response, "application/json", IntStream.range(0, paths.length).mapToObj(i -> '"' + paths[i] + '"').collect(Collectors.joining(",", "[", "]")));
        }

        void part(HttpServletRequest request, HttpServletResponse response) throws IOException {
            int size = number(request, "size", 1000);
            response.setHeader("ETag", '"' + request.getParameter("i") + '-' + size + '"');
            answer(response, "text/css", ".".repeat(size));
            CountDownLatch waits = pushed.remove("/part?" + request.getQueryString());
            if (waits != null) waits.countDown();
        }

        void hints(HttpServletRequest request, HttpServletResponse response) throws Exception {
            for (String value : request.getParameterValues("v")) response.addHeader("Link", value);
            ((ResponseFacade) response).sendEarlyHints(); // of the standard only since Servlet 6.1
            Thread.sleep(number(request, "ms", 50));
            answer(response, "text/plain", "after the hints\n");
        }

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            requests.incrementAndGet();
            try {
                switch (request.getRequestURI()) {
                    case "/page" -> page(request, response);
                    case "/part" -> part(request, response);
                    case "/hints" -> hints(request, response);
                    case "/counts" -> answer(response, "application/json", String.format("{\"requests\":%d,\"offered\":%d}", requests.get(), offered.get()));
                    default -> response.sendError(404);
                }
            } catch (IOException e) {
                throw e;
            } catch (Exception e) {
                throw new IOException(e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(System.getenv("HOME"));
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(System.getenv("PORT")));
        connector.setProperty("address", "127.0.0.1");
        Http2Protocol h2c = new Http2Protocol();
        h2c.setAllowSchemeMismatch(true); // :scheme is the client's, https; else each such request is a 400
        connector.addUpgradeProtocol(h2c);
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "all", new Servlet());
        context.addServletMappingDecoded("/", "all");
        tomcat.start();
        tomcat.getServer().await();
    }
}
