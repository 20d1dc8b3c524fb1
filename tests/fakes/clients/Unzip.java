import java.io.FileInputStream;
import java.util.zip.ZipInputStream;

/** Prints the content of the first entry of a zip archive, read as a stream: without its directory. */
public class Unzip {
    public static void main(String[] arguments) throws Exception {
        try (ZipInputStream zip = new ZipInputStream(new FileInputStream(arguments[0]))) {
            zip.getNextEntry();
            zip.transferTo(System.out);
            if (zip.getNextEntry() != null) {
                throw new IllegalStateException("more than one entry");
            }
        }
        System.out.flush();
    }
}
