# Reads a URL as a Ruby program does that asks for gzip alone and inflates it: ruby gunzip.rb URL AUTHORIZATION
require "net/http"
require "stringio"
require "zlib"
uri = URI(ARGV[0])
request = Net::HTTP::Get.new(uri, "Authorization" => ARGV[1], "Accept-Encoding" => "gzip")
answer = Net::HTTP.start(uri.host, uri.port) { |http| http.request(request) }
raise "not packed" unless answer["Content-Encoding"] == "gzip"
$stdout.binmode
$stdout.write(Zlib::GzipReader.new(StringIO.new(answer.body)).read)
